"""When a process looks for garbage: among what is new as Python does, among everything when that disturbs nobody.

Reference counts free almost all; the collector finds what refers to itself, such as a session that is over. Python goes
through everything whenever there is a quarter more of it, in the middle of whatever is under way: that holds the loop
for 10 to 50 ms with 50 to 200 sessions, a frame of sound and more. So:

- what is there at the start, modules and their like, is never looked at again;
- what is new is collected as by default, in less than a frame's quarter;
- everything is collected when the loop has little to do, and after `LONGEST_S` whatever it does, because what sessions
  leave behind holds their sound.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Histogram

from vita_runtime.stalls import BOUNDS_S

LOOK_S = 0.5
QUIET_SHARE = 0.1  # of a core, used by the loop's thread: 15 microphones that nobody answers
LONGEST_S = 60.0  # at a session's end each second, and 1 MB of sound in it, 60 MB wait
# Collections of the middle generation after which Python goes through everything by itself: 700 000 more objects than
# before, so that a flood of short sessions cannot fill the memory within LONGEST_S.
MIDDLE_COUNT = 100

COLLECTION = Histogram("vita_garbage_collection_seconds", "Holding the loop for a full collection.", buckets=BOUNDS_S)


@contextmanager
def collected(
    *, thread_s: Callable[[], float] = time.thread_time, look_s: float = LOOK_S, longest_s: float = LONGEST_S
) -> Iterator[None]:
    """Collect like that inside the block; to be entered in the loop's thread, once all is set up.

    `thread_s` is the CPU time of the loop's thread.
    """
    loop = asyncio.get_running_loop()
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(thresholds[0], thresholds[1], MIDDLE_COUNT)

    def look(used_s: float, collected_s: float) -> None:
        nonlocal timer
        now_s = loop.time()
        is_quiet = thread_s() - used_s < QUIET_SHARE * look_s
        is_worth_it = gc.get_count()[2] > 0  # something has grown old since the last time
        if is_worth_it and (is_quiet or now_s - collected_s >= longest_s):
            with COLLECTION.time():
                gc.collect()
            collected_s = now_s
        timer = loop.call_later(look_s, look, thread_s(), collected_s)

    timer = loop.call_later(look_s, look, thread_s(), loop.time())
    try:
        yield
    finally:
        timer.cancel()
        gc.set_threshold(*thresholds)
        gc.unfreeze()
