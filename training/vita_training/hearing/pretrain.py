"""Stage 2.1a, made small: the speech encoder learns to write down what it hears, by CTC.

`python -m vita_training.hearing.pretrain --minutes 15`. Letters are read from the encoder's frames (25 a second) and
words from the adapter's embeddings (12.5 a second); both heads are then thrown away. Batches take turns in what a frame
may see, so that the same weights serve streaming and whole clips. Sounds that are no question spell nothing.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vita15.config import TINY, SpeechEncoderConfig
from vita15.fbank import fbank, frame_count
from vita15.speech_encoder import Mode, SpeechEncoder
from vita_training.hearing.augment import heard, noise_bank
from vita_training.hearing.spelling import LETTERS, WORDS, letter_ids, read_letters, word_error_rate, word_ids
from vita_training.run_log import RunLog
from vita_training.schedule import Averages, Clock, learning_rate
from vita_training.world.recordings import DEFAULT_PATH, Recordings
from vita_training.world.sounds import Samples, sample_sound

DEFAULT_FOLDER = Path(".vita/training/hearing")
HELD_OUT_PATH = Path(".vita/training/held_out.npz")
BATCH_CLIPS = 24
SOUND_SHARE = 0.06
SOUND_COUNT = 600
MODES: tuple[tuple[Mode, float], ...] = (("stream", 0.6), ("full", 0.25), ("dynamic", 0.15))
REPORT_STEPS = 100
TEST_STEPS = 200
PEAK_RATE = 1.2e-3


@dataclass(frozen=True, slots=True)
class Clips:
    """A batch: features and what they say."""

    features: Tensor  # (B, N, 80) float32
    lengths: Tensor  # (B,) int64 frames
    texts: list[str]


class Listener(nn.Module):
    """The speech encoder with the two heads of this stage."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(config)
        self.letters = nn.Sequential(
            nn.Conv1d(config.hidden, config.hidden, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(config.hidden, len(LETTERS) + 1, 1),
        )
        self.words = nn.Linear(config.embed, len(WORDS) + 1)

    def forward(self, clips: Clips, mode: Mode) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits of letters (B, T, classes), their lengths, logits of words (B, T3, classes), their lengths."""
        frames, frame_lengths = self.encoder.encode_frames(clips.features, clips.lengths, mode)
        embeddings, counts = self.encoder.adapt(frames, frame_lengths)
        letters = self.letters(frames.transpose(1, 2)).transpose(1, 2)
        return letters, frame_lengths, self.words(embeddings), counts


def make_batch(samples: list[Samples], texts: list[str]) -> Clips:
    """Pad clips (S,) and compute their features."""
    padded = torch.zeros(len(samples), max(max(map(len, samples)), 2000))
    for row, clip in zip(padded, samples, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    lengths = torch.tensor([max(frame_count(len(clip)), 7) for clip in samples])
    return Clips(fbank(padded), lengths, texts)


def spec_augment(features: Tensor, rng: random.Random) -> Tensor:
    """Blank out one band of up to 12 bins and two stretches of up to 12 frames in each clip."""
    masked, fill = features.clone(), features.mean()
    for row in masked:
        width, start = rng.randint(0, 12), rng.randint(0, 67)
        row[:, start : start + width] = fill
        for _ in range(2):
            begin = rng.randrange(row.shape[0])
            row[begin : begin + rng.randint(0, 12)] = fill
    return masked


def ctc_loss(logits: Tensor, lengths: Tensor, targets: list[list[int]]) -> Tensor:
    """CTC over (B, T, classes), blank 0, a clip's loss divided by its target's length."""
    return functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        torch.tensor([unit for target in targets for unit in target], dtype=torch.long),
        lengths,
        torch.tensor([len(target) for target in targets]),
        zero_infinity=True,
    )


class Material:
    """Recordings and other sounds, drawn at random."""

    def __init__(self, recordings: Recordings, rng: random.Random) -> None:
        self._recordings, self._rng = recordings, rng
        self._sounds = [sample_sound(rng) for _ in range(SOUND_COUNT)]
        self._noises = noise_bank(rng)
        by_length = sorted(range(len(recordings.texts)), key=lambda i: len(recordings.take(i)))
        self._groups = [by_length[i : i + BATCH_CLIPS] for i in range(0, len(by_length), BATCH_CLIPS)]

    def batch(self) -> Clips:
        """Draw clips of about one length."""
        samples: list[Samples] = []
        texts: list[str] = []
        for index in self._rng.choice(self._groups):
            is_sound = self._rng.random() < SOUND_SHARE
            clip = self._rng.choice(self._sounds) if is_sound else as_float(self._recordings.take(index))
            samples.append(heard(clip, self._rng, self._noises, is_clean=self._rng.random() < 0.15))
            texts.append("" if is_sound else self._recordings.texts[index])
        clips = make_batch(samples, texts)
        return Clips(spec_augment(clips.features, self._rng), clips.lengths, clips.texts)


def as_float(samples: NDArray[np.int16]) -> Samples:
    """int16 to float32 in [-1, 1]."""
    return samples.astype(np.float32) / 32768


def normalise(encoder: SpeechEncoder, material: Material) -> None:
    """Set the encoder's feature mean and deviation from a few batches."""
    frames = torch.cat([row[:n] for clips in (material.batch() for _ in range(20)) for row, n in _rows(clips)])
    encoder.set_normalisation(frames.mean(0), frames.std(0))


def _rows(clips: Clips) -> list[tuple[Tensor, int]]:
    return list(zip(clips.features, clips.lengths.tolist(), strict=True))


@torch.no_grad()
def test(model: Listener, recordings: Recordings, mode: Mode, count: int) -> float:
    """Word error rate on the first `count` clean clips, by letters."""
    model.eval()
    count = min(count, len(recordings.texts))
    said: list[str] = []
    for first in range(0, count, BATCH_CLIPS):
        rng = random.Random(first)
        indices = range(first, min(first + BATCH_CLIPS, count))
        clips = make_batch([heard(as_float(recordings.take(i)), rng, [], is_clean=True) for i in indices], [])
        letters, lengths, _, _ = model(clips, mode)
        said += [read_letters(row[:n].argmax(-1).tolist()) for row, n in zip(letters, lengths.tolist(), strict=True)]
    model.train()
    return word_error_rate(recordings.texts[:count], said)


def train(minutes: float, seed: int, folder: Path) -> None:
    """Train, from the weights in `folder` if there are any, and keep the whole listener's there."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng, log, averages = random.Random(seed), RunLog(folder), Averages()
    material, held_out = Material(Recordings.load(DEFAULT_PATH), rng), Recordings.load(HELD_OUT_PATH)
    model = Listener(TINY.speech_encoder)
    normalise(model.encoder, material)
    if (folder / "listener.pt").exists():
        model.load_state_dict(torch.load(folder / "listener.pt", weights_only=True))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # the augmentation is enough, and drawing the masks is a seventh of a step's time
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    clock, step = Clock(minutes), 0
    while clock.share < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(PEAK_RATE, clock.share, step, warmup_steps=200)
        modes, weights = zip(*MODES, strict=True)
        figures = train_step(model, optimizer, material.batch(), rng.choices(modes, weights)[0])
        step += 1
        averages.add(**figures)
        if step % REPORT_STEPS == 0:
            tests = (
                {f"wer_{m}": test(model, held_out, m, 48) for m in ("stream", "full")} if step % TEST_STEPS == 0 else {}
            )
            log.report(step=step, minutes=clock.elapsed_minutes, **averages.take(), **tests)
            torch.save(model.state_dict(), folder / "listener.pt")
    tests = {f"wer_{m}": test(model, held_out, m, len(held_out.texts)) for m in ("stream", "full")}
    log.report(step=step, minutes=clock.elapsed_minutes, **tests)
    torch.save(model.state_dict(), folder / "listener.pt")


def train_step(model: Listener, optimizer: torch.optim.Optimizer, clips: Clips, mode: Mode) -> dict[str, float]:
    """One step of both losses."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        letters, frame_lengths, words, counts = model(clips, mode)
    letter_loss = ctc_loss(letters, frame_lengths, [letter_ids(text) for text in clips.texts])
    word_loss = ctc_loss(words, counts, [word_ids(text) for text in clips.texts])
    optimizer.zero_grad()
    (letter_loss + word_loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {f"letters_{mode}": letter_loss.item(), f"words_{mode}": word_loss.item()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    options = parser.parse_args()
    train(options.minutes, options.seed, options.folder)


if __name__ == "__main__":
    main()
