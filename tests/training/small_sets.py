"""Sets of a few samples in the JSON format: the small world's pictures, and noise in the place of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from vita_training.data.json_source import write_json
from vita_training.data.sample import AUDIO, IMAGE, Clip, Sample, Source, Utterance
from vita_training.world.sources import captions, questions, text_only

TEXTS = ("Hello.", "What color is the star?", "Stop.", "How many are there?")


@dataclass(frozen=True)
class Listed:
    """A set that is a list."""

    samples: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def clip(index: int, seconds: float = 1.0) -> Clip:
    """Noise that is said to say something."""
    noise = np.random.default_rng(index).standard_normal(int(16_000 * seconds) + 400 * index)
    return Clip((noise * 3000).astype(np.int16), TEXTS[index % len(TEXTS)])


def heard(index: int, answer: str, kind: str) -> Sample:
    """One clip and an answer to it."""
    turns = [Utterance("human", AUDIO), *([Utterance("gpt", answer)] if answer else [])]
    return Sample(f"{kind}-{index}", "heard", tuple(turns), audio=(clip(index),), kind=kind)


def spoken(index: int) -> Sample:
    """A spoken question about a picture, and noise after its answer."""
    seen = captions()[index]
    while not seen.pictures:
        index += 100
        seen = captions()[index]
    turns = (Utterance("human", f"{IMAGE}\n{AUDIO}\n"), Utterance("gpt", "It is red."))
    noise = (Utterance("human", AUDIO), Utterance("gpt", ""))
    clips = (clip(index), Clip(clip(index + 1).samples))
    return Sample(f"spoken-{index}", "heard", (*turns, *noise), seen.pictures, (), clips, 1, "colour noise")


def first(source: Source, count: int, *, has_videos: bool) -> Listed:
    """The first samples of a set, with or without those that show videos."""
    kept = (sample for sample in map(source.__getitem__, range(len(source))) if has_videos or not sample.videos)
    return Listed([*islice(kept, count)])


def write_sets(folder: Path, count: int = 6, *, has_videos: bool = True) -> Path:
    """Write every set that the recipe names, and a recorded voice; return the folder."""
    sets: dict[str, Source] = {
        "captions": first(captions(), count, has_videos=has_videos),
        "questions": first(questions(), count, has_videos=has_videos),
        "talks": first(text_only(), count, has_videos=has_videos),
        "transcripts": Listed([heard(i, TEXTS[i % len(TEXTS)], "transcript") for i in range(count)]),
        "speech_and_noise": Listed([spoken(i) for i in range(count)]),
        "speech": Listed([heard(i, TEXTS[i % len(TEXTS)], "speech") for i in range(count)]),
        "turn_ends": Listed([heard(i, "", "finished" if i % 2 else "unfinished") for i in range(count)]),
    }
    for name, source in sets.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(source, count, folder / f"{name}.json")
    return folder
