"""What is measured and with what: a checkpoint, the training folder, and the small world's held-out sets."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from vita_training.data.sample import Sample, Source
from vita_training.recipe.sets import WORLD
from vita_training.speaking.clauses import MIN_WORDS, Clauses, choose, cut, words
from vita_training.speaking.intelligibility import Listener
from vita_training.speaking.material import assistant_answers, world_listener
from vita_training.speaking.voice import Voice
from vita_training.world import pool
from vita_training.world.conversations import draw_dialogue
from vita_training.world.patterns import is_held_out
from vita_training.world.phrasing import Asker
from vita_training.world.pool import Recordings

from vita_evaluation.offline import Assistant

QUICK = 10  # a quick run takes one sample in so many
LEAST = 8  # samples of a quick run
RUN = "tiny"  # the recipe's folder within the training folder


class NotMeasurable(Exception):
    """There is nothing to measure it on; the message says what is missing."""


@dataclass(frozen=True)
class Material:
    """Everything the bars are measured on; loaded when it is first asked for."""

    checkpoint: Path
    training: Path
    is_quick: bool = False

    def count(self, full: int) -> int:
        """How many samples are taken, of `full` in a whole run."""
        return max(LEAST, full // QUICK) if self.is_quick else full

    @cached_property
    def assistant(self) -> Assistant:
        """What hears, sees and thinks."""
        return Assistant(self.checkpoint)

    @property
    def recordings_folder(self) -> Path:
        """Where held-out questions lie, in held-out voices at held-out speeds."""
        return pool.pool_folder(self.training / pool.DEFAULT_FOLDER.name, is_held_out=True)

    def ensure_recordings(self) -> None:
        """Record them, if nobody has or the world has changed since: half a minute."""
        if not pool.is_current(self.recordings_folder, pool.HELD_OUT_TAKES, is_held_out=True):
            made = pool.record(pool.HELD_OUT_TAKES, is_held_out=True, processes=os.cpu_count() or 1)
            made.save(self.recordings_folder)

    @cached_property
    def recordings(self) -> Recordings:
        """Held-out questions, spoken."""
        return Recordings.load(self.recordings_folder)

    @cached_property
    def clauses(self) -> Clauses:
        """What the voice says."""
        return choose(assistant_answers(WORLD))

    def new_clauses(self, count: int) -> list[str]:
        """So many clauses that the voice never learnt: those that training keeps aside to the end, and more of its own.

        The latter are what the assistant should say in held-out conversations, where training left it out.
        """
        known, found = {*self.clauses.train, *self.clauses.development}, dict.fromkeys(self.clauses.held_out)
        index = 0
        while len(found) < count:
            talk = draw_dialogue(Asker(random.Random(f"voice {index}"), is_held_out=True))
            said = (clause for question in talk.questions for clause in cut(question.answer))
            found |= dict.fromkeys(clause for clause in said if clause not in known and len(words(clause)) >= MIN_WORDS)
            index += 1
        return list(found)[:count]

    @property
    def listener(self) -> Listener:
        """Who judges the voice."""
        return world_listener()

    @cached_property
    def voice(self) -> Voice:
        """The original that ours was taught by; one a process."""
        return Voice()

    def stage_folder(self, stage: str) -> Path:
        """Where the recipe keeps a stage."""
        return self.training / RUN / stage


def sound_of(sample: Sample) -> NDArray[np.int16]:
    """A sample's first clip: (S,) at 16 kHz."""
    samples = sample.audio[0].samples
    assert not isinstance(samples, Path), "the small world's clips are drawn, not read"
    return samples


def is_new(clip: Sample) -> bool:
    """Whether what is said in a clip is in a wording that training never meets; a few kinds have no such wording."""
    return is_held_out(clip.audio[0].text)


def draw(
    source: Source, count: int, title: str, is_wanted: Callable[[Sample], bool] = lambda sample: True
) -> Iterator[Sample]:
    """Draw the first `count` samples of a set that are wanted.

    Raises:
        NotMeasurable: the set has fewer.
    """
    shown = tqdm(total=count, desc=title, unit="sample", disable=None, leave=False)
    found = 0
    for index in range(len(source)):
        sample = source[index]
        if is_wanted(sample):
            yield sample
            shown.update()
            found += 1
            if found == count:
                shown.close()
                return
    raise NotMeasurable(f"the set has {found} such samples, not {count}")
