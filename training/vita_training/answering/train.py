"""Stages 1.2, 1.3 and 2.2 in one, made small: the language model learns to answer about what it sees and hears.

`python -m vita_training.answering.train --minutes 12` continues from `latest.pt` if there is one, and saves there every
few minutes; `vita_training.answering.export` writes the checkpoint.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vita15.config import TINY
from vita15.tokenizer import Tokenizer
from vita_training.answering.alignment import Alignment
from vita_training.answering.assistant import Assistant
from vita_training.answering.conversations import Turn, sample_conversation
from vita_training.answering.material import Heard, Seen, load_heard, load_seen
from vita_training.answering.splice import Clip, Row, Splicer
from vita_training.run_log import RunLog
from vita_training.schedule import Averages, Clock, learning_rate
from vita_training.world.tokenizer import DEFAULT_PATH as TOKENIZER_PATH

DEFAULT_FOLDER = Path(".vita/training/answering")
BATCH_TOKENS = 3000
POOL_ROWS = 160
REPORT_STEPS = 50
SAVE_STEPS = 200
PEAK_RATE = 1.2e-3
SIDE_WEIGHT = 0.3  # of the side lessons' losses


class Lessons:
    """Draws batches of conversations; all typed while there are no clips."""

    def __init__(self, seen: Seen, heard: Heard | None, tokenizer: Tokenizer, rng: random.Random) -> None:
        self._seen, self._heard, self._rng = seen, heard, rng
        self._batches: list[list[Row]] = []
        self._splicer = Splicer(tokenizer, lambda frames: (frames - 1) // 2 + 1)

    def batch(self) -> list[Row]:
        """Draw conversations of about one length, up to BATCH_TOKENS with their padding."""
        if not self._batches:
            rows = sorted((self._row() for _ in range(POOL_ROWS)), key=lambda row: len(row.ids))
            self._batches = _pack(rows)
            self._rng.shuffle(self._batches)
        return self._batches.pop()

    def _row(self) -> Row:
        turns = sample_conversation(self._rng, self._seen.scenes)
        if self._heard is None:
            turns = [replace(turn, is_spoken=False) for turn in turns if not turn.is_noise]
        return self._splicer.row(turns, [self._clip(turn) for turn in turns], self._seen.pictures, self._rng)

    def _clip(self, turn: Turn) -> Clip | None:
        if self._heard is None or not turn.is_spoken:
            return None
        return self._rng.choice(self._heard.sounds if turn.is_noise else self._heard.takes[turn.question])


def _pack(rows: list[Row]) -> list[list[Row]]:
    """Group rows, sorted by length, so that none of the groups is wider than BATCH_TOKENS when padded."""
    batches: list[list[Row]] = [[]]
    for row in rows:
        if batches[-1] and len(row.ids) * (len(batches[-1]) + 1) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(row)
    return batches


class Run:
    """A training run that can be stopped and continued."""

    def __init__(self, assistant: Assistant, alignment: Alignment, folder: Path, minutes: float) -> None:
        self.assistant, self.alignment = assistant, alignment
        self.optimizer = make_optimizer(assistant, alignment)
        self.step, self.clock = 0, Clock(minutes)
        self._latest = folder / "latest.pt"

    def resume(self, material: Path, *, has_heard: bool) -> None:
        """Continue from the last saved state, if there is one."""
        if not self._latest.exists():
            return
        stored = torch.load(self._latest, weights_only=True)
        self.assistant.load_state_dict(stored["assistant"])
        self.alignment.load_state_dict(stored["alignment"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.step, self.clock = int(stored["step"]), Clock(self.clock.minutes, float(stored["minutes"]))
        if has_heard and not stored["has_heard"]:
            self.assistant.load_listener(material)  # until now it only read, and the listener has learnt meanwhile

    def begin_layers(self) -> None:
        """Keep what words, sights and speech have learnt to look like, and learn all else from the beginning."""
        self.assistant.begin_layers()
        self.optimizer = make_optimizer(self.assistant, self.alignment)
        self.step, self.clock = 0, Clock(self.clock.minutes)

    def learn(self, rows: list[Row]) -> dict[str, float]:
        """Take one step at the rate of the hour."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(PEAK_RATE, self.clock.share, self.step, warmup_steps=200)
        self.step += 1
        return train_step(self.assistant, self.alignment, self.optimizer, rows)

    def save(self, *, has_heard: bool) -> None:
        """Replace the last saved state."""
        state = {"assistant": self.assistant.state_dict(), "optimizer": self.optimizer.state_dict()}
        state["alignment"] = self.alignment.state_dict()
        progress = {"step": self.step, "minutes": self.clock.elapsed_minutes, "has_heard": has_heard}
        torch.save({**state, **progress}, self._latest.with_suffix(".new"))
        self._latest.with_suffix(".new").replace(self._latest)


@dataclass(frozen=True, slots=True)
class Options:
    """How to train."""

    minutes: float = 12.0
    seed: int = 0
    folder: Path = DEFAULT_FOLDER
    material: Path = Path(".vita/training")
    is_compiled: bool = False  # 1.6 times as fast, after a minute of compiling
    has_fresh_layers: bool = False  # continue with the tables, projector and adapter, but begin the layers again


def train(options: Options) -> None:
    """Train, keeping `latest.pt` in the folder."""
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    heard = load_heard(options.material)
    log, averages, assistant = RunLog(options.folder), Averages(), Assistant(TINY)
    tokenizer = Tokenizer.from_file(TOKENIZER_PATH)
    assistant.load_pretrained(options.material)
    if options.is_compiled:
        assistant.compile_layers()
    run = Run(assistant, Alignment(tokenizer, TINY.llm.hidden), options.folder, options.minutes)
    run.resume(options.material, has_heard=heard is not None)
    if options.has_fresh_layers:
        run.begin_layers()
    rng = random.Random(options.seed + run.step)
    lessons = Lessons(load_seen(options.material), heard, tokenizer, rng)
    while run.clock.share < 1:
        averages.add(**run.learn(lessons.batch()))
        if run.step % REPORT_STEPS == 0:
            log.report(step=run.step, minutes=run.clock.elapsed_minutes, **averages.take())
        if run.step % SAVE_STEPS == 0 or run.clock.share >= 1:
            run.save(has_heard=heard is not None)


def make_optimizer(assistant: Assistant, alignment: Alignment) -> torch.optim.Optimizer:
    """Adam over all that learns."""
    parameters = [*assistant.trainable(), *alignment.parameters()]
    return torch.optim.AdamW(parameters, betas=(0.9, 0.95), weight_decay=0.02, fused=True)


def train_step(
    assistant: Assistant, alignment: Alignment, optimizer: torch.optim.Optimizer, rows: list[Row]
) -> dict[str, float]:
    """One step; return its figures."""
    loss, side_losses, figures = assistant.loss(rows, alignment)
    optimizer.zero_grad()
    (loss + SIDE_WEIGHT * sum(side_losses.values())).backward()
    norm = torch.nn.utils.clip_grad_norm_([*assistant.trainable(), *alignment.parameters()], 1.0)
    if bool(norm.isfinite()):  # once in a thousand steps it is not, and one such step would end the run
        optimizer.step()
    return {"loss": loss.item(), **figures, **{name: value.item() for name, value in side_losses.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--material", type=Path, default=Path(".vita/training"))
    parser.add_argument("--compile", action="store_true", help="1.6 times as fast, after a minute of compiling")
    parser.add_argument("--fresh-layers", action="store_true", help="begin the language model's layers again")
    given = parser.parse_args()
    train(Options(given.minutes, given.seed, given.folder, given.material, given.compile, given.fresh_layers))


if __name__ == "__main__":
    main()
