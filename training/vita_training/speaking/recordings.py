"""A recorded voice, in the place of espeak-ng's: pairs of text and speech, as the paper's 3,000 hours are.

`speech.json` in the folder of the data is a set of the same form as `transcripts.json`: a sample holds one clip, and
what is said in it under `said` or as the answer. Files may be of any rate; 24 kHz is what is learnt. They are read when
they are drawn, never all at once. When each word is spoken is not known: it is guessed from the place of its letters.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor
from torch.nn import functional as F
from vita_orchestrator.spoken_form import spoken_form

from vita15.config import SAMPLES_PER_CODE, SPEECH_OUT_HZ
from vita_training.data.json_source import JsonSource
from vita_training.data.sample import Sample
from vita_training.recipe.errors import RecipeError
from vita_training.speaking.clauses import words
from vita_training.speaking.corpus import CROP_CODES, CROPS
from vita_training.speaking.voice import SpokenClause, word_starts

FILE = "speech.json"
KEPT_ASIDE, KEPT_ASIDE_SHARE = 40, 0.05  # recordings to judge by: so many, of all at most this share


@dataclass(frozen=True, slots=True)
class Recording:
    """One clip."""

    text: str  # in the spoken form
    file: Path

    def spoken(self) -> SpokenClause:
        """Read it."""
        values, rate_hz = soundfile.read(self.file, dtype="float32", always_2d=True)
        samples = soxr.resample(values.mean(1), rate_hz, SPEECH_OUT_HZ).astype(np.float32)
        return SpokenClause(self.text, samples, word_starts(self.text, [], len(samples) / SPEECH_OUT_HZ))


@dataclass(frozen=True, slots=True)
class Recordings:
    """A voice."""

    train: tuple[Recording, ...]
    development: tuple[Recording, ...]  # judged while training


class RecordedCrops:
    """Draws batches of sound from recordings, each a pure function of its number."""

    def __init__(self, recordings: Sequence[Recording], seed: int, count: int = CROPS) -> None:
        """Take recordings, and how many crops make a batch."""
        self._recordings, self._seed, self._count = recordings, seed, count

    def batch(self, number: int) -> Tensor:
        """(count, CROP_CODES × 600)."""
        rng = random.Random(f"{self._seed}/{number}")
        return torch.stack([self._crop(rng) for _ in range(self._count)])

    def _crop(self, rng: random.Random) -> Tensor:
        sound = torch.from_numpy(rng.choice(self._recordings).spoken().samples)
        length = CROP_CODES * SAMPLES_PER_CODE
        start = rng.randrange(max(1, len(sound) - length))
        crop = sound[start : start + length]
        return F.pad(crop, (0, length - len(crop)))


def read_recordings(data: str) -> Recordings | None:
    """Read the voice among some data; None if it holds no `speech.json`.

    Raises:
        RecipeError: nothing is said in them.
        ValueError: the file is not of the format.
    """
    file = Path(data) / FILE
    if not file.is_file():
        return None
    source = JsonSource(file)
    made = [_recording(source[index]) for index in range(len(source))]
    every = [recording for recording in made if words(recording.text)]
    if not every:
        raise RecipeError(f"{file}: nothing is said in it")
    random.Random(0).shuffle(every)
    kept = min(KEPT_ASIDE, int(KEPT_ASIDE_SHARE * len(every)))
    return Recordings(tuple(every[kept:]), tuple(every[:kept]))


def _recording(sample: Sample) -> Recording:
    (clip,) = sample.audio
    assert isinstance(clip.samples, Path)  # of a file, clips are files
    return Recording(spoken_form(clip.text or sample.conversations[-1].value), clip.samples)
