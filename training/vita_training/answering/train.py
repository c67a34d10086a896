"""Stages 1.2, 1.3 and 2.2 in one, made small: the language model learns to answer about what it sees and hears.

`python -m vita_training.answering.train --minutes 40` continues from `latest.pt` if there is one, and saves there and
under `checkpoints/tiny/` every few minutes.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from torch import Tensor

from vita15.config import TINY
from vita15.tokenizer import Tokenizer
from vita_training.answering.assistant import Assistant
from vita_training.answering.conversations import Turn, sample_conversation
from vita_training.answering.material import Heard, Seen, load
from vita_training.answering.splice import Row, Splicer
from vita_training.run_log import RunLog
from vita_training.schedule import Averages, Clock, learning_rate
from vita_training.world.tokenizer import DEFAULT_PATH as TOKENIZER_PATH

DEFAULT_FOLDER = Path(".vita/training/answering")
BATCH_TOKENS = 3000
POOL_ROWS = 160
REPORT_STEPS = 50
SAVE_STEPS = 400
PEAK_RATE = 1.5e-3


class Lessons:
    """Draws batches of conversations."""

    def __init__(self, seen: Seen, heard: Heard, tokenizer: Tokenizer, rng: random.Random) -> None:
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
        return self._splicer.row(turns, [self._clip(turn) for turn in turns], self._seen.features, self._rng)

    def _clip(self, turn: Turn) -> Tensor | None:
        if turn.is_noise:
            return self._rng.choice(self._heard.sounds)
        return self._rng.choice(self._heard.takes[turn.question]) if turn.is_spoken else None


def _pack(rows: list[Row]) -> list[list[Row]]:
    """Group rows, sorted by length, so that none of the groups is wider than BATCH_TOKENS when padded."""
    batches: list[list[Row]] = [[]]
    for row in rows:
        if batches[-1] and len(row.ids) * (len(batches[-1]) + 1) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(row)
    return batches


def train(minutes: float, seed: int, folder: Path, material: Path) -> None:
    """Train, keeping `latest.pt` in `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng, log, averages = random.Random(seed), RunLog(folder), Averages()
    lessons = Lessons(*load(material), Tokenizer.from_file(TOKENIZER_PATH), rng)
    assistant = Assistant(TINY)
    assistant.load_pretrained(material.parent)
    optimizer = torch.optim.AdamW(assistant.trainable(), betas=(0.9, 0.95), weight_decay=0.02, fused=True)
    latest, step, clock = folder / "latest.pt", 0, Clock(minutes)
    if latest.exists():
        stored = torch.load(latest, weights_only=True)
        assistant.load_state_dict(stored["assistant"])
        optimizer.load_state_dict(stored["optimizer"])
        step, clock = int(stored["step"]), Clock(minutes, float(stored["minutes"]))
        rng.seed(seed + step)
    while clock.share < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(PEAK_RATE, clock.share, step, warmup_steps=200)
        averages.add(**train_step(assistant, optimizer, lessons.batch()))
        step += 1
        if step % REPORT_STEPS == 0:
            log.report(step=step, minutes=clock.elapsed_minutes, **averages.take())
        if step % SAVE_STEPS == 0 or clock.share >= 1:
            state = {"assistant": assistant.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "step": step, "minutes": clock.elapsed_minutes}, latest.with_suffix(".new"))
            latest.with_suffix(".new").replace(latest)


def train_step(assistant: Assistant, optimizer: torch.optim.Optimizer, rows: list[Row]) -> dict[str, float]:
    """One step; return its figures."""
    loss, figures = assistant.loss(rows)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(assistant.trainable(), 1.0)
    optimizer.step()
    return {"loss": loss.item(), **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--material", type=Path, default=Path(".vita/training/material.pt"))
    options = parser.parse_args()
    train(options.minutes, options.seed, options.folder, options.material)


if __name__ == "__main__":
    main()
