"""Counting aloud: to twenty it takes ten seconds and more."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.numerals import LARGEST, NUMBERS
from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question

COUNT_TO = Kind(
    "count_to",
    request=(
        "count to {number}",
        "count up to {number}",
        "count up from one to {number}",
    ),
)
COUNT_FROM = Kind("count_from", request=("count from {a} to {b}", "say the numbers from {a} to {b}"))
KINDS = (COUNT_TO, COUNT_FROM)


def ask(asker: Asker) -> Question:
    """Ask to count to a number, from one or from another."""
    end = asker.rng.randint(2, LARGEST)
    if asker.rng.random() < 0.7:
        return asker.ask(COUNT_TO, count(1, end), number=NUMBERS[end])
    start = asker.rng.randint(1, end - 1)
    return asker.ask(COUNT_FROM, count(start, end), a=NUMBERS[start], b=NUMBERS[end])


def count(start: int, end: int) -> str:
    """Count, both ends included: "Three, four, five."."""
    return f"{', '.join(NUMBERS[start : end + 1])}.".capitalize()


def answers() -> Iterator[str]:
    """All that this topic says."""
    yield from (count(start, end) for end in range(2, LARGEST + 1) for start in range(1, end))
