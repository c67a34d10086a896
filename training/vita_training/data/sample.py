"""One conversation to learn from, in the terms of the original's training data (its JSON's `conversations`, `image` …).

Media stand where `<image>`, `<video>` and `<audio>` stand in what is said, in order. A set is a `Source`: its samples
are drawn by index, so that any step of any run can be drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Speaker = Literal["system", "human", "gpt", "tool"]

IMAGE, VIDEO, AUDIO = "<image>", "<video>", "<audio>"  # placeholders


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one side says."""

    speaker: Speaker
    value: str  # text with placeholders
    is_broken_off: bool = False  # an answer that was interrupted here; its end is not taught


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape in a picture; lengths are shares of the picture's."""

    colour: str
    shape: str
    place: str
    x: float  # of the centre, 0-1 of the width
    y: float  # of the centre, 0-1 of the height
    radius: float  # share of the shorter side


@dataclass(frozen=True, slots=True)
class Picture:
    """A still picture."""

    pixels: Path | Image.Image
    things: tuple[Thing, ...] = ()  # what it shows, for the side lessons only; data from elsewhere has none


@dataclass(frozen=True, slots=True)
class Video:
    """Frames, already chosen: one a second (docs/model.md, 1.5)."""

    frames: Path | tuple[Image.Image, ...]  # a file: animated WebP
    things: tuple[tuple[Thing, ...], ...] = ()  # of each frame


@dataclass(frozen=True, slots=True)
class Clip:
    """Sound, 16 kHz mono."""

    samples: Path | NDArray[np.int16]  # (S,)
    text: str = ""  # what is said, for CTC and alignment only; empty for noise


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation."""

    id: str
    set: str
    conversations: tuple[Utterance, ...]
    pictures: tuple[Picture, ...] = ()
    videos: tuple[Video, ...] = ()
    audio: tuple[Clip, ...] = ()
    inserted_id: int | None = None  # index, among gpt's turns, of the one that answers noise
    kind: str = ""  # what is asked about, for evaluation by kind

    @property
    def is_whole(self) -> bool:
        """Whether no answer was interrupted."""
        return not any(utterance.is_broken_off for utterance in self.conversations)


class Source(Protocol):
    """A set of samples, each a pure function of the set's seed and the sample's index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
