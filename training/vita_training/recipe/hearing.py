"""Stage 2.1a: the speech encoder learns to write down what it hears, by CTC.

Letters are read from its frames (25 a second), words from pairs of them (12.5 a second); both heads are thrown away.
Batches take turns in what a frame may see, so that the same weights serve streaming and whole clips. Letters are those
of English and nothing else: texts without any are refused before the stage begins.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import jiwer
import torch
from torch import Tensor, nn

from vita15.speech_encoder import Mode
from vita15.tokenizer import Tokenizer
from vita_training.data.media import Sound, hear
from vita_training.data.pools import Mixture, Pools
from vita_training.data.sample import Sample, Source
from vita_training.recipe.alignment import ctc
from vita_training.recipe.assistant import Assistant, features_of
from vita_training.recipe.echo import spoken_ids
from vita_training.recipe.errors import RecipeError

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
MODES: tuple[tuple[Mode, float], ...] = (("stream", 0.6), ("full", 0.25), ("dynamic", 0.15))
FREQUENCY_MASK, TIME_MASK = 10, 20  # SpecAugment's largest, in bins and frames (the original's)
NORMALISED_BATCHES = 12


class Listener(nn.Module):
    """The assistant with the two heads of this stage."""

    def __init__(self, assistant: Assistant, token_count: int) -> None:
        super().__init__()
        self.assistant = assistant
        config = assistant.config.speech_encoder
        self.letters = nn.Sequential(
            nn.Conv1d(config.hidden, config.hidden, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(config.hidden, len(LETTERS) + 1, 1),
        )
        self.words = nn.Sequential(
            nn.Conv1d(config.hidden, config.adapter_hidden, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(config.adapter_hidden, token_count + 1, 1),
        )
        for module in assistant.speech.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # the rooms and noises are enough, and drawing the masks is a seventh of a step's time

    def forward(self, features: Tensor, lengths: Tensor, mode: Mode) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of letters (B, T, classes), of words (B, (T + 1) // 2, classes), and how many T count (B,)."""
        frames, lengths = self.assistant.speech.encode_frames(features, lengths, mode)
        channels = frames.transpose(1, 2)
        return self.letters(channels).transpose(1, 2), self.words(channels).transpose(1, 2), lengths


@dataclass
class HearingLesson:
    """A batch is clips of about one length."""

    model: Listener
    rates: Mapping[str, float]
    pools: Pools[Sound]
    tokenizer: Tokenizer
    development: Sequence[Sequence[Sound]] = ()  # batches to judge by

    def normalise(self) -> None:
        """Set what features are normalised by, from the first batches; an encoder that has heard keeps its own."""
        sounds = [sound for number in range(NORMALISED_BATCHES) for sound in self.pools.batch(number)]
        features, lengths = features_of(sounds, torch.device("cpu"))
        frames = torch.cat([row[:n] for row, n in zip(features, lengths.tolist(), strict=True)])
        self.model.assistant.speech.set_normalisation(frames.mean(0), frames.std(0))

    def batch(self, number: int) -> list[Sound]:
        """See `Lesson`."""
        return self.pools.batch(number)

    def loss(self, batch: list[Sound]) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson`."""
        features, lengths = features_of(batch, self.model.assistant.device)
        modes, weights = zip(*MODES, strict=True)
        mode: Mode = modes[int(torch.multinomial(torch.tensor(weights), 1))]
        letters, words, counts = self.model(masked(features), lengths, mode)
        letter_loss = ctc(letters, counts, [letter_ids(sound.text) for sound in batch])
        word_ids = [[token + 1 for token in spoken_ids(self.tokenizer, sound.text)] for sound in batch]
        word_loss = ctc(words, (counts + 1) // 2, word_ids)
        figures = {f"letters_{mode}": letter_loss.item(), f"words_{mode}": word_loss.item()}
        return letter_loss + word_loss, figures

    def judge(self) -> dict[str, float]:
        """See `Lesson`: word error rate by letters."""
        if not self.development:
            return {}
        return {f"wer_{mode}": self._word_error_rate(mode) for mode in ("stream", "full")}

    def _word_error_rate(self, mode: Mode) -> float:
        said = [plain(sound.text) for batch in self.development for sound in batch]
        read = [text or "-" for batch in self.development for text in self._read(batch, mode)]
        return float(jiwer.wer(said, read))

    def _read(self, batch: Sequence[Sound], mode: Mode) -> list[str]:
        features, lengths = features_of(batch, self.model.assistant.device)
        with torch.autocast(features.device.type, dtype=torch.bfloat16):
            letters, _, counts = self.model(features, lengths, mode)
        return [read_letters(row[:n].argmax(-1).tolist()) for row, n in zip(letters, counts.tolist(), strict=True)]


def draw_sound(mixture: Mixture, rng: random.Random) -> Sound:
    """Draw a clip of which it is known what it says."""
    _, sample = mixture.draw(rng)
    return Sound(hear(sample.audio[0]).samples, said_in(sample))


def said_in(sample: Sample) -> str:
    """What the clip of a sample says: its own text, or the answer to it."""
    return sample.audio[0].text or sample.conversations[-1].value


def check_said(source: Source) -> None:
    """See that every sample of a set has a clip that says something in English letters.

    Raises:
        RecipeError: some have none; the message counts them and names the first.
    """
    samples = [source[index] for index in range(len(source))]
    unsaid = [sample for sample in samples if not sample.audio or not letter_ids(said_in(sample))]
    if unsaid:
        raise RecipeError(
            f"{len(unsaid)} of {len(samples)} samples have no clip that says something in the letters a to z, such as "
            f"{unsaid[0].id!r} of {unsaid[0].set!r}; this stage writes no others: leave them out"
        )


def masked(features: Tensor) -> Tensor:
    """Blank out one band of bins and one stretch of frames in each clip (B, N, bins)."""
    count, frames, bins = features.shape
    is_hidden = _spans(count, bins, FREQUENCY_MASK)[:, None] | _spans(count, frames, TIME_MASK)[:, :, None]
    return features.masked_fill(is_hidden.to(features.device), features.mean())


def plain(text: str) -> str:
    """Small letters, apostrophes and single spaces only."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def letter_ids(text: str) -> list[int]:
    """Classes of a text's letters and spaces, 0 being the blank."""
    return [LETTERS.index(letter) + 1 for letter in plain(text)]


def read_letters(classes: list[int]) -> str:
    """Collapse repeats and drop blanks."""
    return " ".join("".join(LETTERS[c - 1] for c, _ in groupby(classes) if c).split())


def _spans(rows: int, length: int, longest: int) -> Tensor:
    """(rows, length) bool: one span a row, of 0 to `longest`."""
    widths = torch.randint(0, longest + 1, (rows, 1))
    starts = (torch.rand(rows, 1) * (length - widths).clamp_min(1)).long()
    places = torch.arange(length)
    return (places >= starts) & (places < starts + widths)
