"""What people say in the small world, spoken once by espeak-ng and kept as a pool to draw from.

`python -m vita_training.world.pool` renders both pools, the learnt and the held-out one, into `.vita/training/`:
14,000 takes, 9 hours, in two minutes on two cores. What is said, and how often, comes from the conversations
themselves; a recording stands for every question of its meaning, so that most questions of a conversation can be
spoken although no pool could hold all their wordings in all voices.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vita_training.world import held_out
from vita_training.world.asides import MURMURS, aside
from vita_training.world.conversations import draw_dialogue
from vita_training.world.espeak import Spoken, Voice, speak_in_order
from vita_training.world.phrasing import Asker
from vita_training.world.voices import sample_voice

DEFAULT_FOLDER = Path(".vita/training/recordings")
TAKES, HELD_OUT_TAKES = 14_000, 3_000
LINES_A_PROCESS = 500
SEED = 1
ASIDE_SHARE, MURMUR_SHARE = 0.06, 0.01
ASIDE, MURMUR = "aside", "murmur"  # meanings of takes that are no question
_SAMPLES, _TAKES = "samples.npy", "takes.json"


@dataclass(frozen=True, slots=True)
class Line:
    """What is to be spoken, and by whom."""

    meaning: str
    text: str
    voice: Voice


@dataclass(frozen=True, slots=True)
class Take:
    """One recording."""

    meaning: str
    text: str
    end: int  # in the pool's samples; it begins where the one before ends
    words: tuple[tuple[int, int], ...]  # (first character, sample) of the words whose start is known


@dataclass(frozen=True)
class Recordings:
    """A pool."""

    takes: tuple[Take, ...]
    samples: NDArray[np.int16]  # all takes, one after another, 16 kHz

    def samples_of(self, index: int) -> NDArray[np.int16]:
        """Return one take's samples."""
        return self.samples[self.takes[index - 1].end if index else 0 : self.takes[index].end]

    def draw(self, meaning: str, rng: random.Random) -> int | None:
        """Draw a take that means this; None where there is none."""
        known = self._by_meaning.get(meaning)
        return rng.choice(known) if known else None

    @cached_property
    def questions(self) -> tuple[int, ...]:
        """Takes of questions and remarks to the assistant."""
        return tuple(i for i, take in enumerate(self.takes) if take.meaning not in (ASIDE, MURMUR))

    @cached_property
    def _by_meaning(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, take in enumerate(self.takes):
            found.setdefault(take.meaning, []).append(index)
        return found

    @classmethod
    def load(cls, folder: Path) -> Recordings:
        """Open what `save` wrote; samples stay on disk until they are drawn.

        Raises:
            FileNotFoundError: nothing was rendered there.
        """
        if not (folder / _TAKES).exists():
            raise FileNotFoundError(f"no recordings in {folder}: run `python -m vita_training.world.pool`")
        entries = json.loads((folder / _TAKES).read_text(encoding="utf-8"))
        takes = (Take(e["meaning"], e["text"], e["end"], tuple((c, s) for c, s in e["words"])) for e in entries)
        return cls(tuple(takes), np.load(folder / _SAMPLES, mmap_mode="r", allow_pickle=False))

    def save(self, folder: Path) -> None:
        """Write the pool; the list of takes last, so that a folder with one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / _SAMPLES, self.samples, allow_pickle=False)
        unfinished = folder / f"{_TAKES}.new"
        unfinished.write_text(json.dumps([asdict(take) for take in self.takes]), encoding="utf-8")
        unfinished.replace(folder / _TAKES)


def pool_folder(folder: Path, *, is_held_out: bool) -> Path:
    """Where each of the two pools lies."""
    return folder / ("held-out" if is_held_out else "learnt")


def lines(seed: int, *, is_held_out: bool = False) -> Iterator[Line]:
    """Draw what is said, without end, as often as in conversations."""
    rng = random.Random(f"recordings {seed + held_out.SEED * is_held_out}")
    while True:
        draw = rng.random()
        if draw < ASIDE_SHARE:
            said = [(ASIDE, aside(rng, is_held_out=is_held_out))]
        elif draw < ASIDE_SHARE + MURMUR_SHARE:
            said = [(MURMUR, rng.choice(MURMURS))]
        else:
            asked = draw_dialogue(Asker(rng, is_held_out)).questions
            said = [(question.meaning, question.text) for question in asked]
        for meaning, text in said:
            yield Line(meaning, text, sample_voice(rng, is_held_out=is_held_out))


def record(count: int, seed: int = SEED, *, is_held_out: bool = False, processes: int = 1) -> Recordings:
    """Speak `count` lines, so many at a time in a process of their own: the samples depend on the seed alone."""
    wanted = list(itertools.islice(lines(seed, is_held_out=is_held_out), count))
    batches = [
        [(w.text, w.voice) for w in wanted[at : at + LINES_A_PROCESS]] for at in range(0, count, LINES_A_PROCESS)
    ]
    spoken: list[Spoken] = []
    with (
        ProcessPoolExecutor(processes, get_context("spawn"), max_tasks_per_child=1) as workers,
        tqdm(total=count, desc="recording", disable=None) as progress,
    ):
        for batch in workers.map(speak_in_order, batches):
            spoken += batch
            progress.update(len(batch))
    ends = np.cumsum([len(each.samples) for each in spoken]).tolist()
    takes = (Take(w.meaning, w.text, end, s.words) for w, s, end in zip(wanted, spoken, ends, strict=True))
    return Recordings(tuple(takes), np.concatenate([each.samples for each in spoken]))


def ensure(folder: Path = DEFAULT_FOLDER) -> None:
    """Render the pools that are not there yet, or say something else than they would say now."""
    for is_held_out, count in ((False, TAKES), (True, HELD_OUT_TAKES)):
        target = pool_folder(folder, is_held_out=is_held_out)
        if not is_current(target, count, is_held_out=is_held_out):
            record(count, is_held_out=is_held_out, processes=os.cpu_count() or 1).save(target)


def is_current(folder: Path, count: int, *, is_held_out: bool) -> bool:
    """Whether a pool is there and says what it would say now, asked for the same."""
    if not (folder / _TAKES).exists():
        return False
    wanted = itertools.islice(lines(SEED, is_held_out=is_held_out), count)
    takes = Recordings.load(folder).takes
    return [(line.meaning, line.text) for line in wanted] == [(take.meaning, take.text) for take in takes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    ensure(parser.parse_args().folder)


if __name__ == "__main__":
    main()
