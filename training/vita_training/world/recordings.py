"""The spoken questions of the small world, rendered once and kept under `.vita/training/`.

`python -m vita_training.world.recordings --takes 24` renders every question that is not held out in that many voices.
"""

from __future__ import annotations

import argparse
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vita_training.world.language import OPENINGS, questions
from vita_training.world.scenes import COLOURS
from vita_training.world.small_talk import SMALL_TALK, STRANGE
from vita_training.world.voices import sample_voice, speak

DEFAULT_PATH = Path(".vita/training/recordings.npz")
_OPENING_SHARE = 0.12  # of takes that begin with "Stop." or the like


@dataclass(frozen=True)
class Recordings:
    """Many takes: `samples[ends[i-1]:ends[i]]` says `texts[i]` at 16 kHz."""

    texts: list[str]
    ends: NDArray[np.int64]
    samples: NDArray[np.int16]

    def take(self, index: int) -> NDArray[np.int16]:
        """One take's samples."""
        return self.samples[int(self.ends[index - 1]) if index else 0 : int(self.ends[index])]

    def by_text(self) -> dict[str, list[int]]:
        """Indices of the takes of each text."""
        found: dict[str, list[int]] = {}
        for index, text in enumerate(self.texts):
            found.setdefault(text, []).append(index)
        return found

    @classmethod
    def load(cls, path: Path) -> Recordings:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(list(map(str, stored["texts"])), stored["ends"], stored["samples"])

    def save(self, path: Path) -> None:
        """Write one file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, texts=np.array(self.texts), ends=self.ends, samples=self.samples)


def is_held_out(question: str) -> bool:
    """Whether a question is kept for evaluation: one in ten of those with a colour, by a hash; never in training."""
    return zlib.crc32(question.encode()) % 10 == 0 and any(colour in question.split() for colour in COLOURS)


def sayable() -> list[str]:
    """Everything that is asked aloud, held-out questions included."""
    return [*questions(), *(wording for wording, _ in SMALL_TALK), *STRANGE]


def render(takes: int, seed: int, *, held_out: bool = False) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Render `takes` takes of every question that is not held out; or of everything, in held-out voices."""
    rng = random.Random(seed)
    chosen = [q for q in sayable() if held_out or not is_held_out(q)]
    for _ in range(takes):
        rng.shuffle(chosen)
        for question in chosen:
            is_opened = question in _PICTURE_QUESTIONS and rng.random() < _OPENING_SHARE
            text = f"{rng.choice(OPENINGS)} {question}" if is_opened else question
            yield text, speak(text, sample_voice(rng, is_held_out=held_out))


def record(takes: int, seed: int, *, held_out: bool = False) -> Recordings:
    """Render and gather."""
    made = list(render(takes, seed, held_out=held_out))
    ends = np.cumsum([len(samples) for _, samples in made])
    return Recordings([text for text, _ in made], ends, np.concatenate([samples for _, samples in made]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--takes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", action="store_true")
    options = parser.parse_args()
    record(options.takes, options.seed, held_out=options.held_out).save(options.out)


_PICTURE_QUESTIONS = frozenset(questions())

if __name__ == "__main__":
    main()
