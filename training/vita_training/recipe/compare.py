"""Whether two runs of the recipe end alike: `python -m vita_training.recipe.compare FIRST SECOND --out PICTURE`.

    python -m vita_training.recipe.tiny --share 0.1 --seed 0 --folder .vita/training/seed0
    python -m vita_training.recipe.tiny --share 0.1 --seed 1 --folder .vita/training/seed1
    python -m vita_training.recipe.compare .vita/training/seed0 .vita/training/seed1

What is compared of each stage is the mean loss of the last fifth of its steps: the second may lie at most `--tolerance`
of the first above or below it. Prints a table and a line of JSON, with `--out` draws both runs' losses, and ends with 1
where a stage differs by more, took other steps, or is missing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vita_training.curves import draw_losses
from vita_training.recipe.run_log import read_log
from vita_training.recipe.stages import SPEAKING, STAGES

TOLERANCE = 0.1  # of the first run's loss
END_SHARE = 0.2  # of the steps: enough to be steady where a stage has few, and late enough to be its end


@dataclass(frozen=True, slots=True)
class Pair:
    """A stage's end in two runs."""

    stage: str
    first: float  # loss; not a number where the run has not that stage
    second: float
    first_steps: int
    second_steps: int
    difference: float  # of the second to the first, as a share of the first
    is_alike: bool


def end_loss(lines: Sequence[dict[str, float]]) -> tuple[float, int]:
    """The mean loss over the end of a log, and how many steps it has; not a number if it has none."""
    losses = [line["loss"] for line in lines if "loss" in line]
    end = losses[-max(1, round(END_SHARE * len(losses))) :]
    return (sum(end) / len(end) if end else math.nan), len(losses)


def compare(first: Path, second: Path, tolerance: float = TOLERANCE) -> list[Pair]:
    """Compare what the stages of two runs logged."""
    pairs: list[Pair] = []
    for stage in (*STAGES, *SPEAKING):
        (ours, steps), (theirs, others) = (end_loss(read_log(run / stage / "log.jsonl")) for run in (first, second))
        difference = theirs / ours - 1
        is_alike = steps == others and abs(difference) <= tolerance  # never, where one is not a number
        pairs.append(Pair(stage, ours, theirs, steps, others, difference, is_alike))
    return pairs


def table(pairs: Sequence[Pair]) -> str:
    """Show it, a line a stage."""
    lines = ["| stage | steps | first | second | difference | alike |", "|---|---|---|---|---|---|"]
    for pair in pairs:
        steps = f"{pair.first_steps:,}"
        steps += "" if pair.first_steps == pair.second_steps else f" and {pair.second_steps:,}"
        losses = f"{pair.first:.4f} | {pair.second:.4f} | {100 * pair.difference:+.1f} %"
        lines.append(f"| {pair.stage} | {steps} | {losses} | {'yes' if pair.is_alike else 'no'} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder of a run")
    parser.add_argument("second", type=Path, help="folder of another, of as many steps")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of the first's losses")
    parser.add_argument("--out", type=Path, help="draw the losses of both into this picture")
    options = parser.parse_args()
    pairs = compare(options.first, options.second, options.tolerance)
    if options.out is not None and not draw_losses([options.first, options.second], options.out):
        parser.error(f"neither {options.first} nor {options.second} holds a log")
    print(table(pairs))
    is_alike = all(pair.is_alike for pair in pairs)
    stages = [{k: None if v != v else v for k, v in asdict(pair).items()} for pair in pairs]  # JSON has no NaN
    print(json.dumps({"tolerance": options.tolerance, "is_alike": is_alike, "stages": stages}))
    sys.exit(0 if is_alike else 1)


if __name__ == "__main__":
    main()
