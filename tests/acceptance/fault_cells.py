"""A cell of the fault matrix: a fault at a phase of a turn, and what came of the turn, the sessions, the next turn."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from vita_cli.realtime_client import Answer, RealtimeError
from vita_replay.faults import Garbage
from vita_replay.kserve import ComponentServer

from tests.acceptance.fault_stack import SECOND, FaultStack
from tests.acceptance.fault_turns import ENDED_S, Pair, Told, ended, pair, right_again, speak, write

PHASES = ("hearing", "thinking", "speaking", "between turns")
FAULTS = ("killed", "hung", "slow", "garbage")
# What is wrong with the replies, by phase: each is another way not to be readable.
GARBAGE = dict(zip(PHASES, (Garbage.SHAPE, Garbage.KIND, Garbage.CUT, Garbage.TYPE), strict=True))
ERROR_S = 3.0  # from the loss, or from the question if that came later, to a clear error
BUSY_S = 0.5  # seven stacks share two cores, with whatever else runs there
OUTAGE_S = 10.0  # likewise if it was known to be lost when the turn began
IDLE_S = 1.5  # between a fault and the question after it: a killed server is then known to be lost
PAUSE_S = 0.5  # in the question, when the fault comes while it is heard
AWAY_S = 4.0  # between turns, the fault lasts this long: a turn that waits for the end of it is seen to go on


@dataclass(frozen=True)
class Cell:
    """Where a fault strikes, and when."""

    replica_count: int
    part: str
    fault: str
    phase: str


@dataclass
class Outcome:
    """What came of it."""

    turn: str = ""  # in a few words, for the table
    next_s: float = 0.0  # from the end of the fault, or of the turn if that came later, to the next right answer's end
    problems: list[str] = field(default_factory=list[str])

    def require(self, is_so: bool, problem: str) -> None:
        """Note a problem unless something is so."""
        if not is_so:
            self.problems.append(problem)


@dataclass(frozen=True)
class Undisturbed:
    """The same turn without any fault."""

    told: Told
    lasts_s: float  # from the question's beginning to the answer's end


@dataclass(frozen=True)
class Times:
    """Of one turn."""

    begun_s: float  # the question
    lost_s: float  # what fails


class Striker:
    """Strikes once, at its phase."""

    def __init__(self, cell: Cell, two: Pair) -> None:
        self._cell, self._two = cell, two
        replicas = two.stack.servers.get(cell.part, [])
        self._before = {id(server): server.request_count for server in replicas}
        self.struck = asyncio.Event()
        self.struck_s = 0.0
        self.lost_s = 0.0  # when it was of no use any more

    def strike(self) -> None:
        """Do it now."""
        if self.struck.is_set():
            return
        self.struck_s = self.lost_s = time.monotonic()
        target = self._target()
        self._two.stack.strike(target, self._cell.fault, GARBAGE[self._cell.phase])
        if self._cell.fault == "garbage":
            target.faults.when_answering(self._say_garbage)
        self.struck.set()

    def _say_garbage(self) -> None:
        """Only what answers garbage is lost by it."""
        self.lost_s = time.monotonic()

    async def while_hearing(self) -> None:
        """Strike once some sound has reached the speech encoder; the user goes on speaking."""
        if self._cell.phase == "hearing":
            await asyncio.sleep(PAUSE_S / 2)
            self.strike()
            await asyncio.sleep(PAUSE_S / 2)

    async def arm(self) -> None:
        """Strike before the turn, or have it done at the moment when the model is asked for an answer."""
        if self._cell.phase == "between turns":
            self.strike()
            await asyncio.sleep(IDLE_S)
        if self._cell.phase == "thinking":
            for server in self._two.stack.servers["llm"]:
                server.faults.when_asked("generate", self.strike)

    def _target(self) -> ComponentServer:
        """The replica that serves this turn, or if none does yet, the one that would be asked next."""
        if self._cell.part == "llm":
            return self._two.llm
        replicas = self._two.stack.servers[self._cell.part]
        in_use = [server for server in replicas if server.request_count > self._before[id(server)]]
        return in_use[-1] if in_use else min(replicas, key=lambda server: server.request_count)


async def component_cell(stack: FaultStack, cell: Cell, undisturbed: Undisturbed) -> Outcome:
    """Have a component's replica fail at a phase of a turn."""
    outcome = Outcome()
    async with pair(stack) as two, asyncio.TaskGroup() as tasks:
        striker, count = Striker(cell, two), len(two.main.answers)
        await striker.arm()
        passing = cell.phase == "between turns" and cell.fault in ("killed", "hung")
        healing = tasks.create_task(heal_at(stack, striker.struck_s + AWAY_S)) if passing else None
        begun_s = time.monotonic()
        await speak(two.main, striker.while_hearing)
        if cell.phase == "speaking":
            await two.main.wait_for_answer(lambda one: one.audio_ms > 0, since=count, timeout_s=ENDED_S)
            striker.strike()
        async with asyncio.timeout(ENDED_S):
            await striker.struck.wait()
        has_other = cell.part != "llm" or cell.replica_count > 1
        if has_other:
            await write(two.other)
        answer = await ended(two.main, count)
        if has_other:
            other = await ended(two.other, 1)
            is_right = other is not None and (other.status, other.text) == ("completed", SECOND)
            outcome.require(is_right, f"somebody else's turn was lost: {other and (other.status, other.problem)}")
        await (healing or stack.heal())
        judge(outcome, cell, answer, Times(begun_s, striker.lost_s), undisturbed)
        if answer is not None and answer.is_done:
            outcome.require(Told.of(two.main, answer) == undisturbed.told or answer.status == "failed", "is not right")
        await go_on(outcome, two, undisturbed)
    return outcome


async def heal_at(stack: FaultStack, at_s: float) -> None:
    """End the fault at some time."""
    await asyncio.sleep(at_s - time.monotonic())
    await stack.heal()


def judge(outcome: Outcome, cell: Cell, answer: Answer | None, times: Times, undisturbed: Undisturbed) -> None:
    """Say how the turn ended, and whether it may end so."""
    if answer is None and cell.part == "orchestrator":
        outcome.turn = "gone with what was heard"
        return
    if answer is None or answer.done_s is None:
        outcome.turn = "no end"
        outcome.problems.append(f"the turn did not end within {ENDED_S:g} s")
        return
    if answer.status == "completed":
        late_s = answer.done_s - times.begun_s - undisturbed.lasts_s - PAUSE_S * (cell.phase == "hearing")
        outcome.turn = f"completed, {max(0.0, late_s):.1f} s late"
        return
    ended_s = answer.done_s - max(times.lost_s, answer.created_s)
    outcome.turn = f"error after {max(0.0, ended_s):.1f} s"
    is_known = cell.phase == "between turns" and cell.fault == "killed"
    outcome.require(answer.status == "failed" and bool(answer.problem), f"ended as {answer.status} without a reason")
    outcome.require(ended_s <= (OUTAGE_S if is_known else ERROR_S) + BUSY_S, f"the error came after {ended_s:.1f} s")
    outcome.require(cell.replica_count == 1, f"failed beside a replica that is well: {answer.problem}")


async def go_on(outcome: Outcome, two: Pair, undisturbed: Undisturbed) -> None:
    """Ask on, in both sessions; the fault is over."""
    healed_s = time.monotonic()
    try:
        outcome.next_s = await right_again(two, undisturbed.told) - healed_s
        count = len(two.other.answers)
        await write(two.other)
        other = await ended(two.other, count)
        outcome.require(other is not None and other.status == "completed", "somebody else's session was lost")
    except (AssertionError, RealtimeError) as error:
        outcome.problems.append(str(error))
