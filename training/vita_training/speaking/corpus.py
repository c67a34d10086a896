"""Clauses spoken by the one voice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vita15.config import SAMPLES_PER_CODE, SPEECH_OUT_HZ
from vita_training.speaking.voice import SpokenClause, Voice

Sound = npt.NDArray[np.float32]  # (S,) in [-1, 1] at 24 kHz
GAP_S = 0.1  # silence between clauses
CROPS = 12  # a batch
CROP_CODES = 36  # 0.9 s; longer crops cost more than they teach


def speak_all(voice: Voice, clauses: Sequence[str]) -> list[SpokenClause]:
    """Speak clauses one after another; the same every time."""
    return [voice.speak(clause) for clause in tqdm(clauses, "speaking", unit="clause", disable=None, leave=False)]


def speak_for(voice: Voice, clauses: Sequence[str], seconds: float, seed: int = 0) -> Tensor:
    """Speak clauses in random order until `seconds` are full or all are spoken, with gaps between.

    Returns:
        (S,) float32 at 24 kHz; a gap longer than `seconds` at most.
    """
    gap, room = np.zeros(int(GAP_S * SPEECH_OUT_HZ), np.float32), int(seconds * SPEECH_OUT_HZ)
    sounds: list[Sound] = []
    shown = tqdm(total=int(seconds), desc="speaking", unit="s", disable=None, leave=False)
    for clause in random.Random(seed).sample(clauses, len(clauses)):
        if room <= 0:
            break
        sounds += [voice.speak(clause).samples, gap]
        spent = len(sounds[-2]) + len(gap)
        shown.update(round(spent / SPEECH_OUT_HZ))
        room -= spent
    shown.close()
    return torch.from_numpy(np.concatenate(sounds))


class CropSource(Protocol):
    """Draws batches of sound."""

    def batch(self, number: int) -> Tensor:
        """(count, CROP_CODES × 600) at 24 kHz; a pure function of a seed and the number."""
        ...


class Crops:
    """Draws batches of sound from a recording, each a pure function of its number."""

    def __init__(self, speech: Tensor, seed: int, count: int = CROPS) -> None:
        """Take (S,) float32 at 24 kHz, and how many crops make a batch."""
        self._speech, self._seed, self._count = speech, seed, count

    def batch(self, number: int) -> Tensor:
        """(count, CROP_CODES × 600)."""
        noise = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        length = CROP_CODES * SAMPLES_PER_CODE
        starts = torch.randint(len(self._speech) - length, (self._count,), generator=noise)
        return torch.stack([self._speech[start : start + length] for start in starts.tolist()])


def on_the_grid(spoken: SpokenClause, lead_samples: int = 0) -> Tensor:
    """The sound as (S,) float32, silence before and after so that S is a multiple of 600."""
    sound = torch.from_numpy(spoken.samples)
    return F.pad(sound, (lead_samples, -(len(sound) + lead_samples) % SAMPLES_PER_CODE))
