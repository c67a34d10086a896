"""Everything is collected at quiet moments, after a while at busy ones, and what was there at the start never."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref

import pytest
from vita_runtime.garbage import collected

pytestmark = pytest.mark.unit


class Knot:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


def old_garbage() -> weakref.ref[Knot]:
    """Leave garbage that the collections of what is new do not find any more."""
    knot = Knot()
    gc.collect(0)
    gc.collect(1)
    return weakref.ref(knot)


def busy() -> float:
    """Tell the CPU time of a thread that never rests."""
    return next(_seconds)


_seconds = itertools.count(0.0, 100.0)


async def test_old_garbage_is_collected_when_the_loop_is_quiet() -> None:
    with collected(thread_s=lambda: 0.0, look_s=0.01):
        knot = old_garbage()
        assert knot() is not None
        async with asyncio.timeout(5.0):
            while knot() is not None:  # noqa: ASYNC110  # nothing tells when the collector has run
                await asyncio.sleep(0)


async def test_on_a_busy_loop_it_waits() -> None:
    with collected(thread_s=busy, look_s=0.01):
        knot = old_garbage()
        await asyncio.sleep(0.1)
        assert knot() is not None


async def test_but_not_for_ever() -> None:
    with collected(thread_s=busy, look_s=0.01, longest_s=0.05):
        knot = old_garbage()
        await asyncio.sleep(0.2)
        assert knot() is None


async def test_what_was_there_at_the_start_is_not_looked_at() -> None:
    before = Knot()
    with collected():
        assert gc.get_freeze_count() > 0
        known = weakref.ref(before)
        del before
        gc.collect()
        assert known() is not None
    gc.collect()
    assert known() is None


async def test_afterwards_all_is_as_before() -> None:
    thresholds = gc.get_threshold()
    with collected():
        assert gc.get_threshold() != thresholds
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0
