"""Runs taken in turn, so that what the machine does meanwhile befalls all kinds alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from vita_evaluation.plumbing.rig import Rig

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every family of metrics is given."""

    rig: Rig
    wanted: frozenset[str]  # numbers of rows
    is_quick: bool = False

    def wants(self, *numbers: str) -> bool:
        """Whether any of these rows is wanted."""
        return not self.wanted.isdisjoint(numbers)

    def count(self, pairs: int) -> int:
        """Return how many pairs to run."""
        return max(2, pairs // 5) if self.is_quick else pairs


async def in_turn(kinds: Sequence[Measure], rounds: int) -> list[list[float]]:
    """Measure each kind once a round, in changing order; the first round only warms up. Returns values by kind."""
    values: list[list[float]] = [[] for _ in kinds]
    for number in range(rounds + 1):
        order = list(enumerate(kinds))
        for index, kind in order if number % 2 else reversed(order):
            value = await kind()
            if number:
                values[index].append(value)
    return values
