"""The loop that every stage runs in: Accelerate's, with resuming to the bit and a check of what is frozen.

A lesson says what is taught; a `Schedule` for how long and how fast. Each step seeds torch and draws its batch from its
own number, so a run that was killed goes on from its last snapshot as if nothing had happened. The same call is
data-parallel under `torchrun`, in bf16 on a GPU as on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import AutocastKwargs, DistributedDataParallelKwargs, GradientAccumulationPlugin
from torch import Tensor, nn
from tqdm import tqdm

from vita_training.recipe import snapshot
from vita_training.recipe.freezing import check_frozen, digests, freeze, is_within
from vita_training.recipe.run_log import RunLog
from vita_training.recipe.schedule import Schedule

SNAPSHOT = "snapshot.safetensors"
# Between two processes' batch numbers: neighbours would share a pool (data/pools.py), and torch's generators look at
# the low 32 bits of a seed alone.
PROCESS_STRIDE = 100_000_007
BatchT = TypeVar("BatchT")


class Lesson(Protocol[BatchT]):
    """What a stage teaches."""

    @property
    def model(self) -> nn.Module:
        """All that the losses pass through, frozen parts included."""
        ...

    @property
    def rates(self) -> Mapping[str, float]:
        """Peak learning rate of each part (submodule of `model`, by name) that the stage may change.

        Everything else is frozen. A part's parameters that need no gradient are moved by the lesson itself, or not.
        """
        ...

    def batch(self, number: int) -> BatchT:
        """Draw a batch: a pure function of the lesson's seed and this number, different for each."""
        ...

    def loss(self, batch: BatchT) -> tuple[Tensor, dict[str, float]]:
        """Return what to minimise, and figures for the log. The batch is on the CPU; the model need not be."""
        ...

    def judge(self) -> dict[str, float]:
        """Judge on development data, never on the held-out set; may be empty."""
        ...


class _Pass(nn.Module, Generic[BatchT]):
    """A lesson's loss as a module's forward pass: what Accelerate wraps for precision and data parallelism."""

    def __init__(self, lesson: Lesson[BatchT]) -> None:
        super().__init__()
        self.model = lesson.model
        self._lesson = lesson

    def forward(self, batch: BatchT) -> tuple[Tensor, dict[str, float]]:
        return self._lesson.loss(batch)


class _Run(Generic[BatchT]):
    """A run in progress."""

    def __init__(
        self, lesson: Lesson[BatchT], schedule: Schedule, folder: Path, accelerator: Accelerator, log: RunLog | None
    ) -> None:
        """Go on from the snapshot in the folder, which `log` has taken; other processes than the first have no log."""
        self.lesson, self.schedule, self.snapshot = lesson, schedule, folder / SNAPSHOT
        self.accelerator, self.log = accelerator, log
        snapshot.check_asked(self.snapshot, schedule.asked())
        self.trained = tuple(lesson.rates)
        freeze(lesson.model, self.trained)
        self.optimizer = make_optimizer(lesson, schedule)
        self.peaks = [cast(float, group["lr"]) for group in self.optimizer.param_groups]
        frozen = digests(lesson.model, self.trained)
        self.progress = snapshot.load(self.snapshot, lesson.model, self.trained, self.optimizer)
        check_frozen(self.progress.frozen or frozen, frozen)  # a resumed run stands on what it began with
        self.progress.frozen = frozen
        self.progress.asked = {**schedule.asked(), **self.progress.asked}
        self.step_pass, self.prepared = self.accelerator.prepare(_Pass(lesson), self.optimizer)
        if log is not None:
            log.rewind(self.progress.step)

    def step(self) -> dict[str, float]:
        """Take the next step; return its figures."""
        schedule, done = self.schedule, self.progress.step
        rate = schedule.rate(done)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = rate * peak
        figures: dict[str, float] = {}
        norm = torch.zeros(())
        for part in range(schedule.accumulation):
            with self.accelerator.accumulate(self.step_pass):
                loss, more = self._forward(done * schedule.accumulation + part)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    norm = cast(Tensor, self.accelerator.clip_grad_norm_(self.step_pass.parameters(), schedule.clip))
                    self._update(bool(norm.isfinite()))
            for name, value in {"loss": loss.item(), **more}.items():
                figures[name] = figures.get(name, 0.0) + value / schedule.accumulation
        self.progress.step += 1
        return {**figures, "norm": norm.item(), "rate": rate}

    def _forward(self, index: int) -> tuple[Tensor, dict[str, float]]:
        number = index + PROCESS_STRIDE * self.accelerator.process_index
        torch.manual_seed(self.schedule.seed * 1_000_003 + number)
        return self.step_pass(self.lesson.batch(number))

    def _update(self, is_finite: bool) -> None:
        """Change the weights, unless the gradient is not finite: one such step would end the run."""
        if is_finite:
            self.prepared.step()
        else:
            self.progress.skipped += 1
        self.prepared.zero_grad()

    def save(self) -> None:
        """Leave a snapshot, unless what must be frozen is not."""
        check_frozen(self.progress.frozen, digests(self.lesson.model, self.trained))
        if self.accelerator.is_main_process:
            snapshot.save(self.snapshot, self.progress, self.lesson.model, self.trained, self.optimizer)
        self.accelerator.wait_for_everyone()

    def report(self, figures: Mapping[str, float]) -> None:
        """Add a line to the log."""
        if self.log is not None:
            self.log.add(self.progress.step, seconds=self.progress.seconds, **figures)

    def judge(self) -> None:
        """Judge, in evaluation mode, and log it."""
        self.lesson.model.eval()
        with torch.no_grad():
            judged = self.lesson.judge()
        freeze(self.lesson.model, self.trained)
        if judged:
            self.report({f"judged_{name}": value for name, value in judged.items()})


def run(lesson: Lesson[BatchT], schedule: Schedule, folder: Path) -> snapshot.Progress:
    """Teach, from the snapshot in `folder` if there is one; a finished run is only loaded again.

    Leaves `snapshot.safetensors` and `log.jsonl` in the folder, and the trained weights in the lesson's model.

    Raises:
        FolderTakenError: another run is at work in the folder.
        FrozenChanged: something outside the trained parts has changed, in this run or since it began.
        RecipeError: the snapshot is of another stage or model, or began with another seed, data, rate, accumulation
            or number of steps.
    """
    accelerator = _accelerator(schedule)
    log = RunLog(folder) if accelerator.is_main_process else None
    try:
        teaching = _Run(lesson, schedule, folder, accelerator, log)
        _teach(teaching, folder.name)
    finally:
        if log is not None:
            log.close()
    lesson.model.eval()
    return teaching.progress


def _teach(teaching: _Run[BatchT], name: str) -> None:
    """Take all steps that are left, then judge: saved before, so that a judge that fails loses nothing."""
    schedule, progress = teaching.schedule, teaching.progress
    is_hidden = None if teaching.log is not None else True  # None: hidden where there is no terminal
    shown = tqdm(total=schedule.steps, initial=progress.step, desc=name, unit="step", disable=is_hidden)
    while progress.step < schedule.steps and not progress.is_finished:
        began = time.monotonic()
        figures = teaching.step()
        progress.seconds += time.monotonic() - began
        teaching.report(figures)
        shown.update()
        shown.set_postfix_str(f"loss {figures['loss']:.3f}")
        is_last = progress.step >= schedule.steps
        if is_last or progress.step % schedule.snapshot_steps == 0:
            teaching.save()
        if schedule.judge_steps and progress.step % schedule.judge_steps == 0 and not is_last:
            teaching.judge()
    shown.close()
    if not progress.is_finished:
        teaching.judge()
        progress.is_finished = True
        teaching.save()


def make_optimizer(lesson: Lesson[Any], schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW over the trained parts, each at its own peak rate."""
    groups: list[dict[str, Any]] = []
    for part, rate in lesson.rates.items():
        named = lesson.model.named_parameters()
        parameters = [p for name, p in named if p.requires_grad and is_within(name, (part,))]
        if parameters:
            groups.append({"params": parameters, "lr": rate})
    return torch.optim.AdamW(groups, betas=schedule.betas, weight_decay=schedule.weight_decay, fused=True)


def _accelerator(schedule: Schedule) -> Accelerator:
    return Accelerator(
        cpu=not torch.cuda.is_available(),  # said, because otherwise processes on a CPU do not find each other
        mixed_precision="bf16",
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=schedule.accumulation, sync_with_dataloader=False
        ),
        kwargs_handlers=[
            AutocastKwargs(enabled=schedule.precision == "bf16"),
            # A batch without a picture, say, leaves the projector out.
            DistributedDataParallelKwargs(find_unused_parameters=True),
        ],
    )
