"""A sample's media as the encoders take them."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from vita15.config import SPEECH_IN_HZ, VisionEncoderConfig
from vita15.images import cut_tiles, fit_frame
from vita_training.data.sample import Clip, Picture, Thing, Video
from vita_training.recipe.errors import RecipeError
from vita_training.world.things import COLOURS, PLACES, SHAPES, SIZES, size

LEAST_SAMPLES = 2000  # 125 ms: what gives the speech encoder one embedding
NOTHING = 0
LABELS = (COLOURS, SHAPES, PLACES, SIZES)  # what is known of a thing; class 0 is NOTHING


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture or the frames of a video."""

    tiles: Tensor  # (n, 3, px, px) float32, normalised
    labels: Tensor | None = None  # (n × cells, 4) int64: classes of LABELS, of what is gathered in each cell


@dataclass(frozen=True, slots=True)
class Sound:
    """A clip."""

    samples: Tensor  # (S,) float32 in [-1, 1] at 16 kHz
    text: str  # what is said


def see_picture(picture: Picture, config: VisionEncoderConfig, *, is_detailed: bool = False) -> Sight:
    """Cut a picture into tiles, one unless `is_detailed`, as serving does (docs/model.md, 1.4).

    Raises:
        RecipeError: its file is no picture.
    """
    with _read(picture.pixels, "a picture"), _opened(picture.pixels) as pixels:
        tiles = cut_tiles(pixels.convert("RGB"), config.tile_px, config.max_tiles if is_detailed else 1)
    # The parts of a large picture are taught to show nothing: its thumbnail, the last tile, shows all of it.
    return _labelled(tiles, [()] * (len(tiles) - 1) + [picture.things], bool(picture.things), config)


def see_video(video: Video, config: VisionEncoderConfig) -> Sight:
    """Make one tile of each frame.

    Raises:
        RecipeError: its file is none of Pillow's, an mp4 for instance.
    """
    if isinstance(video.frames, Path):
        with _read(video.frames, "an animated WebP, one frame a second,"), Image.open(video.frames) as film:
            tiles = _frames((frame.convert("RGB") for frame in ImageSequence.Iterator(film)), config)
    else:
        tiles = _frames(video.frames, config)
    return _labelled(tiles, video.things, len(video.things) == len(tiles), config)


def hear(clip: Clip) -> Sound:
    """Read a clip; a shorter one than the encoder can hear is followed by silence.

    Raises:
        RecipeError: its file is no sound, or not 16 kHz mono.
    """
    if isinstance(clip.samples, Path):
        with _read(clip.samples, "16 kHz mono sound"):
            values, rate_hz = soundfile.read(clip.samples, dtype="float32", always_2d=False)
        if rate_hz != SPEECH_IN_HZ or values.ndim != 1:
            raise RecipeError(f"{clip.samples}: {rate_hz} Hz, {values.ndim} axes; 16 kHz mono is wanted")
        samples = torch.from_numpy(values)
    else:
        samples = torch.from_numpy(clip.samples.astype(np.float32) / 32768)
    missing = max(0, LEAST_SAMPLES - len(samples))
    return Sound(torch.nn.functional.pad(samples, (0, missing)), clip.text)


def gathering_cell(thing: Thing, side: int) -> int:
    """The one cell, of `side` × `side` row by row, in which a thing is to be gathered.

    With a thing spread over all the cells that it touches, half of the language model's answers were still wrong after
    2,250 steps (training/LOG.md). Each third of the picture has its cell, and what lies there always touches it.
    """
    column, row = (int((min(2, int(3 * place)) + 0.5) / 3 * side) for place in (thing.x, thing.y))
    return row * side + column


def _labelled(tiles: Tensor, things: Sequence[Sequence[Thing]], is_known: bool, config: VisionEncoderConfig) -> Sight:
    if not is_known:
        return Sight(tiles)
    cells = config.tokens_per_tile
    labels = torch.zeros(len(tiles), cells, len(LABELS), dtype=torch.long)
    for tile, shown in enumerate(things):
        for thing in shown:
            cell = gathering_cell(thing, math.isqrt(cells))
            known = zip(LABELS, (thing.colour, thing.shape, thing.place, size(thing)), strict=True)
            labels[tile, cell] = torch.tensor([words.index(word) + 1 for words, word in known])
    return Sight(tiles, labels.flatten(0, 1))


def _frames(frames: Iterable[Image.Image], config: VisionEncoderConfig) -> Tensor:
    return torch.stack([fit_frame(frame, config.tile_px) for frame in frames])


@contextmanager
def _read(file: object, wanted: str) -> Generator[None]:
    """Name the file that cannot be read, and what it should be."""
    try:
        yield
    except (OSError, soundfile.SoundFileError) as error:
        raise RecipeError(f"{file}: {wanted} is wanted: {error}") from error


def _opened(pixels: Path | Image.Image) -> Image.Image:
    return Image.open(pixels) if isinstance(pixels, Path) else pixels.copy()
