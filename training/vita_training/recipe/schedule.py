"""How long a stage lasts and how fast it learns, in steps: a resumed run or another seed is then comparable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Schedule:
    """The numbers of a run that are no part of what it teaches."""

    steps: int
    warmup_share: float = 0.03  # of the steps (the original's, as are the cosine and no weight decay)
    floor: float = 0.0  # of the peak rate, at the end
    peak: float = 1.0  # of the table's rates: less, to go on from weights that are good already
    clip: float = 1.0  # largest norm of the gradient
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    accumulation: int = 1  # batches a step, on each process
    precision: Literal["bf16", "no"] = "bf16"  # of forward and backward; trained weights are float32
    snapshot_steps: int = 200  # between snapshots: what a kill costs at most
    judge_steps: int = 0  # between judgements on development data; 0: at the end only
    seed: int = 0
    data: str = ""  # what the lesson draws from, for the record alone; empty: nobody said

    def rate(self, step: int) -> float:
        """What to multiply the table's rates with in a step, from 0: up in a line, then half a cosine to `floor`."""
        warmup = max(1, round(self.warmup_share * self.steps))
        if step < warmup:
            return self.peak * (step + 1) / warmup
        share = (step - warmup) / max(1, self.steps - warmup)
        return self.peak * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share)))

    def asked(self) -> Mapping[str, str | float]:
        """What a run that goes on must be asked for again, by name; `data` only if it was said."""
        asked: dict[str, str | float] = {"seed": self.seed, "steps": self.steps, "rate": self.peak}
        asked["accumulation"] = self.accumulation
        return asked | ({"data": self.data} if self.data else {})

    def shortened(self, share: float) -> Schedule:
        """The same with fewer steps, at least one."""
        return replace(self, steps=max(1, round(self.steps * share)))
