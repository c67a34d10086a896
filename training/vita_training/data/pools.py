"""Batches of like length, each a pure function of its number.

Samples are drawn a pool at a time, sorted by length and cut into a fixed number of batches of about equal size, so that
little of a batch is padding and any batch can be drawn again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vita_training.data.sample import Sample, Source

BATCHES_PER_POOL = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """A set, and how much of it is used."""

    source: Source
    share: float  # of the set, from its beginning

    @property
    def count(self) -> int:
        """Samples used, at least one."""
        return max(1, round(self.share * len(self.source)))


class Mixture:
    """Parts of sets, mixed in proportion to how much of each is used: "100 % of this and 20 % of that"."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def draw(self, rng: random.Random) -> tuple[int, Sample]:
        """Draw the index of a part and one of its samples."""
        (index,) = rng.choices(range(len(self._parts)), [part.count for part in self._parts])
        part = self._parts[index]
        return index, part.source[rng.randrange(part.count)]


class Pools(Generic[T]):
    """Draws batches whose lengths add up to about `batch_length` each."""

    def __init__(
        self, draw: Callable[[random.Random], T], length: Callable[[T], int], *, batch_length: int, seed: int
    ) -> None:
        self._draw, self._length, self._batch_length, self._seed = draw, length, batch_length, seed
        self._pool: tuple[int, list[list[T]]] = (-1, [])

    def batch(self, number: int) -> list[T]:
        """Draw the batch of this number; at least one item."""
        index, slot = divmod(number, BATCHES_PER_POOL)
        if self._pool[0] != index:
            self._pool = (index, self._fill(random.Random(f"{self._seed}/{index}")))
        return self._pool[1][slot]

    def _fill(self, rng: random.Random) -> list[list[T]]:
        drawn: list[T] = []
        total = 0
        while total < BATCHES_PER_POOL * self._batch_length or len(drawn) < BATCHES_PER_POOL:
            drawn.append(self._draw(rng))
            total += self._length(drawn[-1])
        batches = cut(sorted(drawn, key=self._length), self._length, BATCHES_PER_POOL)
        rng.shuffle(batches)
        return batches


def cut(items: list[T], length: Callable[[T], int], count: int) -> list[list[T]]:
    """Cut items, at least `count`, into so many runs of about equal summed length, none empty."""
    runs: list[list[T]] = []
    remaining = sum(map(length, items))
    rest = list(items)
    for left in range(count, 0, -1):
        wanted, taken, run = remaining / left, 0, list[T]()
        while rest and len(rest) >= left and (not run or left == 1 or taken + length(rest[0]) / 2 < wanted):
            taken += length(rest[0])
            run.append(rest.pop(0))
        remaining -= taken
        runs.append(run)
    return runs
