"""The spoken corpus: every clause once, made in a minute and never stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vita15.config import SAMPLES_PER_CODE
from vita_training.speaking.sentences import clauses
from vita_training.speaking.voice import Utterance, Voice


@dataclass(frozen=True, slots=True)
class Corpus:
    """Spoken clauses."""

    train: tuple[Utterance, ...]
    held_out: tuple[Utterance, ...]


def speak_corpus() -> Corpus:
    """Speak all clauses; the same every time."""
    voice = Voice()
    texts = clauses()
    train = tuple(voice.speak(text) for text in tqdm(texts.train, "speaking", disable=None))
    return Corpus(train, tuple(voice.speak(text) for text in texts.held_out))


def whole_codes(utterance: Utterance, lead_samples: int = 0) -> Tensor:
    """The sound as (S,) float32, silence before and after so that S is a multiple of 600."""
    missing = -(len(utterance.samples) + lead_samples) % SAMPLES_PER_CODE
    return torch.from_numpy(np.pad(utterance.samples, (lead_samples, missing)))
