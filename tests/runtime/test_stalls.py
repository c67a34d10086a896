"""A loop that is held shows in the heartbeat; one that is not does not."""

from __future__ import annotations

import asyncio
import time

import pytest
from vita_runtime.stalls import watched

pytestmark = pytest.mark.unit


async def test_what_holds_the_loop_is_seen_but_for_one_beat() -> None:
    late: list[float] = []
    with watched(late.append, beat_s=0.01):
        await asyncio.sleep(0.05)
        time.sleep(0.2)  # noqa: ASYNC251 - this is the stall
        await asyncio.sleep(0.05)
    assert max(late) >= 0.2 - 0.02  # a busy machine may add to it


async def test_an_idle_loop_beats_on_and_stops_with_the_block() -> None:
    late: list[float] = []
    with watched(late.append, beat_s=0.005):
        await asyncio.sleep(0.2)
    assert len(late) > 5
    assert sorted(late)[len(late) // 2] < 0.05
    count = len(late)
    await asyncio.sleep(0.03)
    assert len(late) == count
