"""Scenes drawn as a camera might see them: uneven light, noise, blur, tilted and imperfect shapes."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vita_training.world.scenes import Scene, Thing

Point = tuple[float, float]
CENTRES: dict[str, Point] = {
    "on the left": (0.2, 0.5),
    "on the right": (0.8, 0.5),
    "at the top": (0.5, 0.19),
    "at the bottom": (0.5, 0.81),
    "in the middle": (0.5, 0.5),
}
RGB: dict[str, tuple[int, int, int]] = {
    "red": (210, 35, 35),
    "green": (30, 150, 55),
    "blue": (40, 65, 210),
    "yellow": (235, 215, 50),
    "white": (245, 245, 245),
    "black": (18, 18, 20),
}
# Width and height: one tile mostly; the rest give 3, 5, 9, 10 and 13 tiles with their thumbnails.
SMALL: tuple[tuple[int, int], ...] = ((112, 112),)
LARGE: tuple[tuple[int, int], ...] = (
    (224, 112),
    (224, 224),
    (320, 180),
    (336, 336),
    (320, 240),
    (448, 336),
    (240, 320),
)
_SHARPENING = 2  # drawn this much larger, then shrunk: soft edges
_STAR_INNER = 0.42


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a thing came to lie, in pixels."""

    thing: Thing
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and what is where in it."""

    picture: Image.Image
    placed: tuple[Placed, ...]


def draw(scene: Scene, rng: random.Random, size: tuple[int, int] = SMALL[0]) -> Drawing:
    """Draw a scene; the same random state gives the same pixels."""
    width, height = size
    scale = _SHARPENING
    canvas = Image.fromarray(_background(rng, width * scale, height * scale))
    pen = ImageDraw.Draw(canvas)
    placed: list[Placed] = []
    for thing in scene.things:
        spot = _spot(thing, rng, size)
        placed.append(spot)
        outline = _outline(thing.shape, rng.uniform(-0.2, 0.2))
        points = [(scale * (spot.x + spot.radius * dx), scale * (spot.y + spot.radius * dy)) for dx, dy in outline]
        pen.polygon(points, fill=_tinted(RGB[thing.colour], rng))
    picture = canvas.resize(size, Image.Resampling.BOX)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8) * min(size) / 112))
    return Drawing(_noisy(picture, rng), tuple(placed))


def sample_size(rng: random.Random, large_share: float) -> tuple[int, int]:
    """Draw a picture's width and height."""
    return rng.choice(LARGE if rng.random() < large_share else SMALL)


def _spot(thing: Thing, rng: random.Random, size: tuple[int, int]) -> Placed:
    (cx, cy), (width, height) = CENTRES[thing.place], size
    x, y = (cx + rng.uniform(-0.045, 0.045)) * width, (cy + rng.uniform(-0.045, 0.045)) * height
    return Placed(thing, x, y, rng.uniform(0.1, 0.155) * min(size))


def _outline(shape: str, turn: float) -> list[Point]:
    """Corner points of a shape of radius about 1."""
    if shape == "circle":
        return [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 40)]
    if shape == "square":
        angles, radii = [math.pi / 4 + i * math.pi / 2 for i in range(4)], [1.15] * 4
    elif shape == "triangle":
        angles, radii = [-math.pi / 2 + i * 2 * math.pi / 3 for i in range(3)], [1.2] * 3
    else:
        angles = [-math.pi / 2 + i * math.pi / 5 for i in range(10)]
        radii = [1.2 if i % 2 == 0 else 1.2 * _STAR_INNER for i in range(10)]
    return [(r * math.cos(a + turn), r * math.sin(a + turn)) for a, r in zip(angles, radii, strict=True)]


def _background(rng: random.Random, width: int, height: int) -> NDArray[np.uint8]:
    """A mid grey or brownish plane, lit from one side: never near white or black."""
    grey = rng.uniform(95, 170)
    base = np.array([grey + rng.uniform(-14, 14) for _ in range(3)], dtype=np.float32)
    slope = (rng.uniform(-25, 25), rng.uniform(-25, 25))
    light = slope[0] * np.linspace(-0.5, 0.5, width)[None, :] + slope[1] * np.linspace(-0.5, 0.5, height)[:, None]
    return (base + light[..., None]).clip(0, 255).astype(np.uint8)


def _tinted(colour: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    red, green, blue = (int(min(255, max(0, v + rng.uniform(-18, 18)))) for v in colour)
    return red, green, blue


def _noisy(picture: Image.Image, rng: random.Random) -> Image.Image:
    noise = np.random.default_rng(rng.getrandbits(32))
    values = np.asarray(picture, dtype=np.float32) * rng.uniform(0.9, 1.08)
    grain = noise.standard_normal(values.shape, dtype=np.float32) * rng.uniform(1, 7)
    return Image.fromarray((values + grain).clip(0, 255).astype(np.uint8))
