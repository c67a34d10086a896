"""Scenes painted as a camera might see them: uneven light, clutter, grain, blur; shapes a little tilted and tinted."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vita_training.data.sample import Thing

Rgb = tuple[int, int, int]
Size = tuple[int, int]  # width, height in pixels

RGB: dict[str, Rgb] = {
    "red": (208, 28, 38),
    "green": (32, 150, 58),
    "blue": (38, 66, 212),
    "yellow": (240, 222, 40),
    "orange": (244, 128, 16),
    "purple": (118, 38, 158),
    "pink": (250, 150, 192),
    "white": (248, 248, 248),
    "black": (14, 14, 16),
    "brown": (104, 60, 26),
}
TINT = 12  # of 255, up or down, in each channel
SIDES_PX = (96, 448)
MAX_ASPECT = 2.0  # beyond, the thumbnail would squeeze small shapes to a few pixels
TILT = 0.2  # radians
GRAIN = (1, 4, 7)  # deviations of the camera's noise, of 255
_FINENESS = 4  # outlines are drawn this much larger, then shrunk: soft edges
_NOISE_PX = 640  # side of the noise that pictures take theirs from; more than any picture's


@dataclass(frozen=True, slots=True)
class Look:
    """How a scene looks, the same in all frames of a video."""

    backdrop: Image.Image
    fills: tuple[Rgb, ...]  # of each thing
    tilts: tuple[float, ...]  # of each thing, radians
    grain: NDArray[np.int16]  # noise larger than the picture, of the strength to add
    blur_px: float


def sample_size(rng: random.Random, square_px: int, large_share: float = 0.12) -> Size:
    """Draw a picture's size: a square tile mostly, else any size and aspect within the limits."""
    if rng.random() >= large_share:
        return square_px, square_px
    width = rng.randint(*SIDES_PX)
    aspect = math.exp(rng.uniform(-math.log(MAX_ASPECT), math.log(MAX_ASPECT)))
    return width, min(SIDES_PX[1], max(SIDES_PX[0], round(width / aspect)))


def sample_look(things: tuple[Thing, ...], size: Size, rng: random.Random) -> Look:
    """Draw how a scene looks."""
    fills = tuple(_tinted(RGB[thing.colour], rng, TINT) for thing in things)
    tilts = tuple(rng.uniform(-TILT, TILT) for _ in things)
    blur_px = rng.uniform(0.3, 0.8) * min(size) / 112 if rng.random() < 0.2 else 0.0
    backdrop = _backdrop({thing.colour for thing in things}, size, rng)
    return Look(backdrop, fills, tilts, _grain(rng.choice(GRAIN)), blur_px)


def paint(things: tuple[Thing, ...], look: Look, rng: random.Random) -> Image.Image:
    """Paint the things on the backdrop, then add the camera's noise."""
    picture = look.backdrop.copy()
    for thing, fill, tilt in zip(things, look.fills, look.tilts, strict=True):
        _put(picture, thing, fill, tilt)
    if look.blur_px:
        picture = picture.filter(ImageFilter.GaussianBlur(look.blur_px))
    width, height = picture.size
    x, y = rng.randrange(_NOISE_PX - width), rng.randrange(_NOISE_PX - height)
    values = np.asarray(picture, dtype=np.int16) + look.grain[y : y + height, x : x + width]
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def outline(shape: str) -> list[tuple[float, float]]:
    """Corner points of a shape of about radius 1, y downwards."""
    if shape == "circle":
        return _ring([1.0] * 36, 0)
    if shape == "square":
        return _ring([1.2] * 4, math.pi / 4)
    if shape == "triangle":
        return _ring([1.25] * 3, -math.pi / 2)
    if shape == "star":
        return _ring([1.25, 0.5] * 5, -math.pi / 2)
    if shape == "diamond":
        return [(0, -1.3), (0.8, 0), (0, 1.3), (-0.8, 0)]
    arm, width = 1.1, 0.36
    corner = [(width, -arm), (width, -width), (arm, -width)]
    return [(s * x - c * y, c * x + s * y) for c, s in ((0, 1), (1, 0), (0, -1), (-1, 0)) for x, y in corner]


def _ring(radii: list[float], start: float) -> list[tuple[float, float]]:
    step = 2 * math.pi / len(radii)
    return [(r * math.cos(start + i * step), r * math.sin(start + i * step)) for i, r in enumerate(radii)]


def _put(picture: Image.Image, thing: Thing, fill: Rgb, tilt: float) -> None:
    """Paint one thing through a mask of its own, drawn finer than the picture."""
    radius = thing.radius * min(picture.size)
    x, y = thing.x * picture.width, thing.y * picture.height
    left, top = math.floor(x - 1.4 * radius), math.floor(y - 1.4 * radius)
    side = math.ceil(2.8 * radius) + 2
    cosine, sine = math.cos(tilt), math.sin(tilt)
    corners = [
        (
            _FINENESS * (x - left + radius * (dx * cosine - dy * sine)),
            _FINENESS * (y - top + radius * (dx * sine + dy * cosine)),
        )
        for dx, dy in outline(thing.shape)
    ]
    mask = Image.new("L", (side * _FINENESS, side * _FINENESS))
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    picture.paste(fill, (left, top), mask.reduce(_FINENESS))


def _backdrop(colours: set[str], size: Size, rng: random.Random) -> Image.Image:
    """A plane lit from one side, perhaps cluttered: grey, or light or dark where nothing in the scene is as light."""
    shades = [(92, 172)]
    if not colours & {"white", "yellow", "pink"}:
        shades.append((205, 245))
    if not colours & {"black", "brown", "purple"}:
        shades.append((22, 60))
    grey = rng.randint(*rng.choice(shades))
    base = _tinted((grey, grey, grey), rng, 9)
    strengths = (rng.uniform(-20, 20), rng.uniform(-20, 20))
    light = strengths[0] * _ramp(size[0])[None, :, None] + strengths[1] * _ramp(size[1])[:, None, None]
    values = np.asarray(base, dtype=np.float32) + light.astype(np.float32)
    picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        _clutter(picture, base, rng)
    return picture


def _clutter(picture: Image.Image, base: Rgb, rng: random.Random) -> None:
    """Thin lines, specks and stripes a little lighter or darker than the backdrop: nothing that could be a thing."""
    pen = ImageDraw.Draw(picture)
    width, height = picture.size

    def point() -> tuple[float, float]:
        return rng.uniform(0, width), rng.uniform(0, height)

    def shade() -> Rgb:
        change = rng.choice((-1, 1)) * rng.randint(10, 30)
        return _tinted((base[0] + change, base[1] + change, base[2] + change), rng, 4)

    kind = rng.choice(("lines", "specks", "stripes"))
    if kind == "stripes":
        step, tone = rng.randint(width // 14 + 2, width // 6 + 3), shade()
        for x in range(rng.randrange(step), width, step):
            pen.line([(x, 0), (x, height)], fill=tone, width=max(1, step // 5))
    for _ in range(rng.randint(3, 9) if kind == "lines" else 0):
        pen.line([point(), point()], fill=shade(), width=max(1, min(picture.size) // 90))
    for _ in range(rng.randint(10, 40) if kind == "specks" else 0):
        (x, y), r = point(), rng.uniform(0.004, 0.014) * min(picture.size)
        pen.ellipse([x - r, y - r, x + r, y + r], fill=shade())


def _tinted(colour: Rgb, rng: random.Random, most: int) -> Rgb:
    red, green, blue = (min(255, max(0, value + rng.randint(-most, most))) for value in colour)
    return red, green, blue


@cache
def _ramp(length: int) -> NDArray[np.float64]:
    return np.linspace(-1, 1, length)


@cache
def _grain(deviation: int) -> NDArray[np.int16]:
    noise = np.random.default_rng(deviation).standard_normal((_NOISE_PX, _NOISE_PX, 3), dtype=np.float32)
    return (noise * deviation).round().astype(np.int16)
