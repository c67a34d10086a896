"""Training by the clock: how far, how fast to learn, and what to resume from."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

FLOOR = 0.04  # of the learning rate, at the end


@dataclass
class Progress:
    """Minutes of training done of a budget; only time inside steps counts, so a resumed run goes on where it was."""

    budget_minutes: float
    warmup_steps: int = 60
    step: int = 0
    spent_s: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        return min(1.0, self.spent_s / 60 / self.budget_minutes)

    @property
    def rate(self) -> float:
        """What to multiply the peak learning rate with: a warm-up, then half a cosine."""
        warmup = min(1.0, (self.step + 1) / self.warmup_steps)
        return warmup * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * self.share)))

    def advance(self) -> None:
        """Count one step and the time since the last."""
        now = time.monotonic()
        self.spent_s += min(now - self._last, 30.0)  # a suspended machine is not training
        self._last = now
        self.step += 1

    def pause(self) -> None:
        """Leave out what has passed since the last step: evaluation, say."""
        self._last = time.monotonic()

    def line(self, **values: float) -> str:
        """One line for the log."""
        figures = {"step": self.step, "minutes": round(self.spent_s / 60, 2)}
        return json.dumps(figures | {name: round(value, 4) for name, value in values.items()})


def save_snapshot(path: Path, progress: Progress, optimiser: torch.optim.Optimizer, **modules: nn.Module) -> None:
    """Write all that is needed to resume, in one step: a killed run leaves the last whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    states = {name: module.state_dict() for name, module in modules.items()}
    draft = path.with_suffix(".draft")
    torch.save(
        {"step": progress.step, "spent_s": progress.spent_s, "optimiser": optimiser.state_dict(), **states}, draft
    )
    os.replace(draft, path)


def resume(path: Path, progress: Progress, optimiser: torch.optim.Optimizer, **modules: nn.Module) -> bool:
    """Go on from a snapshot where there is one.

    Returns:
        Whether there was.
    """
    if not path.exists():
        return False
    snapshot = torch.load(path, weights_only=True)
    progress.step, progress.spent_s = snapshot["step"], snapshot["spent_s"]
    optimiser.load_state_dict(snapshot["optimiser"])
    for name, module in modules.items():
        module.load_state_dict(snapshot[name])
    progress.pause()
    return True
