"""Sums and differences of numbers from zero to twenty."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.numerals import LARGEST, NUMBERS
from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question

PLUS = Kind(
    "plus",
    question=(
        "what is {a} plus {b}",
        "how much is {a} plus {b}",
        "what is the sum of {a} and {b}",
        "how much is {a} and {b}",
    ),
    clause=("what {a} plus {b} is", "how much {a} plus {b} is"),
    request=("add {a} and {b}",),
)
MINUS = Kind(
    "minus",
    question=("what is {a} minus {b}", "how much is {a} minus {b}"),
    clause=("what {a} minus {b} is", "how much {a} minus {b} is"),
    request=("take {b} from {a}",),
)
KINDS = (PLUS, MINUS)


def ask(asker: Asker) -> Question:
    """Ask for a sum or a difference, both within the numbers."""
    total = asker.rng.randint(0, LARGEST)
    part = asker.rng.randint(0, total)
    if asker.rng.random() < 0.5:
        return asker.ask(PLUS, _plus(part, total - part), a=NUMBERS[part], b=NUMBERS[total - part])
    return asker.ask(MINUS, _minus(total, part), a=NUMBERS[total], b=NUMBERS[part])


def answers() -> Iterator[str]:
    """All that this topic says."""
    for total in range(LARGEST + 1):
        for part in range(total + 1):
            yield _plus(part, total - part)
            yield _minus(total, part)


def _plus(one: int, other: int) -> str:
    return f"{NUMBERS[one]} plus {NUMBERS[other]} is {NUMBERS[one + other]}.".capitalize()


def _minus(one: int, other: int) -> str:
    return f"{NUMBERS[one]} minus {NUMBERS[other]} is {NUMBERS[one - other]}.".capitalize()
