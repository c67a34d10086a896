"""How time is spent that a model would have needed: slept, never computed, so that CPU time measures the plumbing only.

A timer is no more exact than about a millisecond. So what is owed is added up and paid once it is a millisecond, and
what a sleep took too long or too short is owed next: single times are off by up to that, their sum is right. The
clock is the event loop's, which a replay may make faster.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

LEAST_S = 0.001  # shortest sleep: loops' timers go by milliseconds
MOST_CREDIT_S = 0.005  # a stall of the machine is not made good by working for nothing afterwards


@dataclass(slots=True)
class Pace:
    """How much longer than planned everything takes at one server; may be changed at any time."""

    slow: float = 1.0  # 3 takes three times as long

    def spend_s(self, planned_s: float) -> float:
        """Return how long something takes that was planned to take `planned_s`."""
        return planned_s * self.slow


class Sleeper:
    """Sleeps that can be ended; for one task at a time, or for many if nobody calls `wake`."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._sleep: asyncio.Future[None] | None = None

    async def until(self, at_s: float) -> None:
        """Wait for a time of the event loop's."""
        delay_s = at_s - asyncio.get_running_loop().time()
        if delay_s > 0:
            await self._wait(delay_s)

    def wake(self) -> None:
        """End the sleep now."""
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)

    async def _wait(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        sleep = self._sleep = loop.create_future()
        timer = loop.call_later(delay_s, _end, sleep)
        try:
            await sleep
        finally:
            timer.cancel()


class Meter(Sleeper):
    """Pays for work of many, each at its own time."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(pace)
        self._owed_s = 0.0

    async def pay(self, cost_s: float) -> None:
        """Take as long as the work takes, now or together with what comes next."""
        owed_s = self._owed_s + self._pace.spend_s(cost_s)
        if owed_s < LEAST_S:
            self._owed_s = owed_s
            return
        self._owed_s = 0.0
        now = asyncio.get_running_loop().time
        started_s = now()
        await self._wait(owed_s)
        self._owed_s += max(owed_s - (now() - started_s), -MOST_CREDIT_S)


class Schedule(Sleeper):
    """Pays for one piece of work after another, without a break: sending what is done does not hold up what is next."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(pace)
        self._at_s = 0.0

    def begin(self, at_s: float = 0.0) -> None:
        """Work begins now, or at a later time of the event loop's."""
        self._at_s = max(at_s, asyncio.get_running_loop().time())

    async def pay(self, cost_s: float) -> None:
        """Take as long as the work takes, from when the work before was done."""
        now_s = asyncio.get_running_loop().time()
        self._at_s = max(self._at_s, now_s - MOST_CREDIT_S) + self._pace.spend_s(cost_s)
        if self._at_s - now_s >= LEAST_S:
            await self._wait(self._at_s - now_s)


def _end(sleep: asyncio.Future[None]) -> None:
    if not sleep.done():
        sleep.set_result(None)
