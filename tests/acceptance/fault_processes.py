"""Cells of the fault matrix in which no component fails but Redis or the orchestrator."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

from vita_cli.realtime_client import Answer, RealtimeClient, RealtimeError, connected

from tests.acceptance.conversing import BY_HAND, transcript
from tests.acceptance.fault_cells import PAUSE_S, Cell, Outcome, Times, Undisturbed, go_on, judge
from tests.acceptance.fault_stack import FIRST, SECOND, FaultStack
from tests.acceptance.fault_turns import ENDED_S, Pair, Told, ended, pair, speak, write

AWAY_S = 2.0  # how long a process is stopped, or gone before it is started again
REFUSED_S = 1.0  # without a store, a new session is refused as soon as one call of it has failed


class Failing:
    """A process that fails at a phase, and what is seen meanwhile."""

    def __init__(self, stack: FaultStack, cell: Cell, outcome: Outcome) -> None:
        self._stack, self._cell, self._outcome = stack, cell, outcome
        self._process = stack.redis if cell.part == "redis" else stack.orchestrator
        self._returning: asyncio.Task[None] | None = None
        self.struck_s = 0.0

    async def strike(self) -> None:
        """Kill or stop the process; it comes back by itself."""
        self.struck_s = time.monotonic()
        self._process.signal(signal.SIGKILL if self._cell.fault == "killed" else signal.SIGSTOP)
        self._returning = asyncio.create_task(self._come_back())

    async def over(self) -> None:
        """Wait until it serves again."""
        if self._returning is not None:
            await self._returning

    async def _come_back(self) -> None:
        if self._cell.part == "redis":
            await self._look_at_the_door()
        await asyncio.sleep(self.struck_s + AWAY_S - time.monotonic())
        if self._cell.fault == "killed":
            self._process.start()
        else:
            self._process.signal(signal.SIGCONT)
        await self._stack.well()

    async def _look_at_the_door(self) -> None:
        """Without a store a new session is refused, in clear words."""
        started_s = time.monotonic()
        problem = "it was opened"
        with contextlib.suppress(RealtimeError):
            try:
                async with connected(self._stack.url):
                    pass
            except RealtimeError as error:
                problem = str(error)
                raise
        is_soon = time.monotonic() - started_s <= REFUSED_S + 1.0
        self._outcome.require("store" in problem and is_soon, f"a new session without Redis: {problem}")


async def process_cell(stack: FaultStack, cell: Cell, undisturbed: Undisturbed) -> Outcome:
    """Have Redis or the orchestrator fail at a phase of a turn."""
    outcome = Outcome()
    async with pair(stack) as two:
        failing = Failing(stack, cell, outcome)
        await asyncio.sleep(0.7)  # the record of the first turn is written behind its back, and tried again after 0.5 s
        count = len(two.main.answers)
        try:
            begun_s = await through_a_turn(two, cell, failing)
            if cell.part == "redis":
                await write(two.other)
            answer = await ended(two.main, count)
            if cell.part == "redis":
                other = await ended(two.other, 1)
                is_right = other is not None and (other.status, other.text) == ("completed", SECOND)
                outcome.require(is_right, "somebody else's turn was lost")
        finally:
            await failing.over()
        judge(outcome, cell, answer, Times(begun_s, failing.struck_s), undisturbed)
        judge_process(outcome, cell, two, answer, undisturbed)
        await go_on(outcome, two, undisturbed)
        session_id, item_id = two.main.session_id, two.remembered[-1]
    await resumed(outcome, stack, session_id, item_id)
    return outcome


def judge_process(outcome: Outcome, cell: Cell, two: Pair, answer: Answer | None, undisturbed: Undisturbed) -> None:
    """Without Redis a turn is as ever; without its orchestrator it begins anew."""
    if cell.part == "redis":
        is_right = answer is not None and Told.of(two.main, answer) == undisturbed.told
        outcome.require(is_right, "a turn needs no store")
    elif answer is not None and answer.status == "completed" and cell.phase == "hearing" and cell.fault == "killed":
        outcome.turn += ", to what was said after the loss"


async def through_a_turn(two: Pair, cell: Cell, failing: Failing) -> float:
    """Ask aloud, and have the process fail at its phase; return when the question began."""
    count, seen = len(two.main.answers), len(two.main.events)

    async def while_hearing() -> None:
        if cell.phase == "hearing":
            await asyncio.sleep(PAUSE_S / 2)
            await failing.strike()
            await asyncio.sleep(PAUSE_S / 2)

    if cell.phase == "between turns":
        await failing.strike()
    begun_s = time.monotonic()
    async with losing_is_no_error(two.main):
        await speak(two.main, while_hearing)
    if cell.phase == "thinking":
        await two.main.wait_for("response.created", since=seen, timeout_s=ENDED_S)
        await failing.strike()
    if cell.phase == "speaking":
        await two.main.wait_for_answer(lambda one: one.audio_ms > 0, since=count, timeout_s=ENDED_S)
        await failing.strike()
    return begun_s


@contextlib.asynccontextmanager
async def losing_is_no_error(client: RealtimeClient) -> AsyncIterator[None]:
    """Go on when the server says that what it was doing was lost."""
    try:
        yield
    except RealtimeError:
        if not any(one.kind == "error" for one in client.events):
            raise


async def resumed(outcome: Outcome, stack: FaultStack, session_id: str, item_id: str) -> None:
    """Open the session on another connection: its history is there."""
    async with connected(stack.url, model=f"vita&session_id={session_id}") as client:
        await client.configure(audio=BY_HAND)
        outcome.require(await transcript(client, item_id) == FIRST, "the history has changed")
