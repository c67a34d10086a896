"""How long an event loop keeps what is due waiting: a heartbeat, and how late each beat came.

A late beat means that something held the loop, or that another process had the core. Sampled: a stall shorter than the
time between two beats may fall between them, and of a longer one that much may be missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Histogram

BEAT_S = 0.01  # 100 wake-ups a second: 0.2 % of a core
# Seconds. uvloop's timers go by milliseconds; a frame of sound is 0.04, and a quarter of it is too much.
BOUNDS_S = (0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.08, 0.16, 0.32, 1.0, 3.0)

STALL = Histogram("vita_event_loop_stall_seconds", "How late the event loop's heartbeats came.", buckets=BOUNDS_S)


@contextmanager
def watched(observe: Callable[[float], None] = STALL.observe, beat_s: float = BEAT_S) -> Iterator[None]:
    """Watch the running loop inside the block; `observe` hears how late each beat came, in seconds."""
    loop = asyncio.get_running_loop()

    def beat(due_s: float) -> None:
        nonlocal timer
        now_s = loop.time()
        observe(max(0.0, now_s - due_s))
        timer = loop.call_later(beat_s, beat, now_s + beat_s)

    timer = loop.call_later(beat_s, beat, loop.time() + beat_s)
    try:
        yield
    finally:
        timer.cancel()
