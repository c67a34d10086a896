"""Learning rate and running averages, common to all stages."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Training by the minute: how much of the allotted time is gone."""

    minutes: float
    done_minutes: float = 0.0  # of an earlier run that this one continues
    _started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_minutes(self) -> float:
        """Minutes trained, earlier runs included."""
        return self.done_minutes + (time.monotonic() - self._started) / 60

    @property
    def share(self) -> float:
        """Part of the time that is gone, 0..1."""
        return min(1.0, self.elapsed_minutes / self.minutes)


def learning_rate(peak: float, share: float, step: int, warmup_steps: int = 100, floor: float = 0.03) -> float:
    """Warm up by steps, then fall along a cosine by time to `floor` of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return peak * min(1.0, (step + 1) / warmup_steps) * (floor + (1 - floor) * cosine)


class Averages:
    """Means of named figures since the last report."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, **figures: float) -> None:
        """Take in one step's figures."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means and start again."""
        means = {name: self._sums[name] / self._counts[name] for name in self._sums}
        self._sums.clear()
        self._counts.clear()
        return means
