"""The second half of `make bench`: what the plumbing costs, as ratios of paired runs, alone on two cores.

The real orchestrator with a real Redis, before modelled components that only take time (`vita_replay.modelled`). What
each row means and what it should be: docs/performance.md. The last line is everything as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from vita_runtime.errors import StartupError

from vita_evaluation.latency import bench as on_stack
from vita_evaluation.plumbing import barge, crowd, questions, stages, wire
from vita_evaluation.plumbing.arithmetic import Spread
from vita_evaluation.plumbing.pairs import Bench
from vita_evaluation.plumbing.rig import rig
from vita_evaluation.plumbing.table import Row, for_markdown, for_programs, for_terminal, write_between_markers

Family = Callable[[Bench], Awaitable[list[Row]]]
FAMILIES: tuple[tuple[Family, tuple[str, ...]], ...] = (
    (stages.rows, ("1", "2", "3", "4")),
    (questions.rows, ("5", "6", "7", "15", "24", "24r")),
    (crowd.rows, ("8", "9", "10", "11")),
    (barge.rows, ("12", "13", "23")),
    (wire.rows, ("16",)),
)
NUMBERS = tuple(number for _, numbers in FAMILIES for number in numbers)
PAGE, PICTURE = Path("docs/performance.md"), Path("docs/performance.svg")


async def measure(wanted: frozenset[str], *, is_quick: bool) -> list[Row]:
    """Measure what is wanted, family by family; what is found is shown at once."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="vita-bench-", ignore_cleanup_errors=True) as folder:
        async with rig(Path(folder)) as processes:
            bench = Bench(processes, wanted, is_quick)
            for family, numbers in FAMILIES:
                if bench.wants(*numbers):
                    rows = await _rows_of(family, bench, numbers)
                    print(for_terminal(rows), flush=True)
                    found += rows
    return sorted(found, key=lambda row: (int(row.number.rstrip("r")), row.number))


async def _rows_of(family: Family, bench: Bench, numbers: tuple[str, ...]) -> list[Row]:
    """Measure a family; if it fails, its rows say so, and the others are measured all the same."""
    try:
        return await family(bench)
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)
        lost = Spread(math.nan, math.nan, math.nan)
        return [Row(number, "not measured", lost, note=str(error).splitlines()[0]) for number in numbers]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", type=lambda text: frozenset(text.split(",")), default=frozenset(NUMBERS), metavar="ROWS"
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the pairs: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"put table and picture into {PAGE}")
    parser.add_argument("--stack", action="store_true", help="measure on the stack that `make up` runs instead")
    given, rest = parser.parse_known_args()
    if unknown := given.only - set(NUMBERS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(NUMBERS)}")
    if rest and not given.stack:
        parser.error(f"unknown: {' '.join(rest)}")
    given.rest = rest
    return given


def main() -> int:
    """Run it."""
    given = arguments()
    if given.stack:
        sys.argv[1:] = given.rest
        return on_stack.main()
    started_s = time.monotonic()
    try:
        rows = uvloop.run(measure(given.only, is_quick=given.quick))
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    took = f"{time.monotonic() - started_s:.0f} s on {os.cpu_count()} cores"
    print(f"\n{for_terminal(rows)}\n\n{took}")
    if given.write:
        from vita_evaluation.plumbing.picture import draw

        write_between_markers(PAGE, f"{for_markdown(rows)}\n\nMeasured in {took}.")
        draw(rows, PICTURE)
    print(json.dumps(for_programs(rows, {"seconds": round(time.monotonic() - started_s)})))
    return int(any(math.isnan(row.value.median) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
