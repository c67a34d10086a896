"""Every component killed, hung, slowed and made to answer garbage, in every phase of a turn; docs/reliability.md.

The processes are real; the components are modelled servers of this process, so that faults come on cue, with ten times
the costs of one H200, so that phases last. Once with one replica of each component: then a turn that needs the lost one
ends in a clear error. Once with two: then it completes on the other. Stacks run beside each other; each has its own
Redis, and no fault is felt outside its stack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import pytest
from vita_components.connect import NAMES

from tests.acceptance.fault_cells import FAULTS, PHASES, Cell, Outcome, Undisturbed, component_cell
from tests.acceptance.fault_processes import process_cell
from tests.acceptance.fault_stack import FaultStack, fault_stack
from tests.acceptance.fault_turns import expected

pytestmark = pytest.mark.slow

STACKS = {1: 4, 2: 3}  # by replicas: what two cores carry, and the matrix is through in ten minutes
PROCESSES = (("redis", "killed"), ("redis", "hung"), ("orchestrator", "killed"), ("orchestrator", "hung"))
CELLS = [
    *(Cell(count, part, fault, phase) for count, part, fault, phase in product(STACKS, NAMES, FAULTS, PHASES)),
    *(Cell(1, part, fault, phase) for (part, fault), phase in product(PROCESSES, PHASES)),
]
Outcomes = Mapping[Cell, Outcome]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Outcomes]:
    """What came of the cells that were selected, all run beside each other; printed as tables."""
    cells = [item.callspec.params["cell"] for item in request.session.items if item.module is request.module]  # type: ignore[attr-defined]
    result = asyncio.run(run(cells, scratch))
    yield result
    print(table(result))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.part}-{cell.fault}-{cell.phase}-{cell.replica_count}")
def test_a_fault_costs_at_most_the_turn_that_needs_what_failed(outcomes: Outcomes, cell: Cell) -> None:
    assert outcomes[cell].problems == []


async def run(cells: list[Cell], scratch: Path) -> dict[Cell, Outcome]:
    """Run cells on as many stacks as the machine carries."""
    outcomes: dict[Cell, Outcome] = {}
    async with asyncio.TaskGroup() as tasks:
        for replica_count, stack_count in STACKS.items():
            waiting = [cell for cell in cells if cell.replica_count == replica_count][::-1]
            for number in range(min(stack_count, len(waiting))):
                folder = scratch / f"faults{replica_count}{number}"
                tasks.create_task(work_off(folder, replica_count, waiting, outcomes))
    return outcomes


async def work_off(folder: Path, replica_count: int, waiting: list[Cell], outcomes: dict[Cell, Outcome]) -> None:
    """Run cells one after the other on one stack, until none waits."""
    async with fault_stack(folder, replica_count) as stack:
        undisturbed = Undisturbed(*await expected(stack))
        while waiting:
            cell = waiting.pop()
            outcomes[cell] = await outcome_of(stack, cell, undisturbed)
            await stack.heal()
            await stack.well()


async def outcome_of(stack: FaultStack, cell: Cell, undisturbed: Undisturbed) -> Outcome:
    """Run one cell; what breaks it is its problem, and not that of the others."""
    run_cell = component_cell if cell.part in NAMES else process_cell
    try:
        async with asyncio.timeout(90.0):
            return await run_cell(stack, cell, undisturbed)
    except Exception as error:
        return Outcome(turn="broke", problems=[repr(error)])


def table(outcomes: Outcomes) -> str:
    """Write the outcomes as a table; a cell with problems is marked."""
    lines = [
        f"| part | replicas | fault | {' | '.join(PHASES)} | next right answer |",
        f"|---|---|---|{'---|' * len(PHASES)}---|",
    ]
    rows = dict.fromkeys((cell.part, cell.replica_count, cell.fault) for cell in sorted(outcomes, key=CELLS.index))
    for part, count, fault in rows:
        row = [outcomes.get(Cell(count, part, fault, phase)) for phase in PHASES]
        turns = " | ".join(f"{'✗ ' if one.problems else ''}{one.turn}" if one else "–" for one in row)
        latest_s = max((one.next_s for one in row if one), default=0.0)
        lines.append(f"| {part} | {count if part in NAMES else '–'} | {fault} | {turns} | {latest_s:.1f} s |")
    return "\n".join(lines)
