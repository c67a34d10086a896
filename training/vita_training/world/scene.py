"""What a picture or a video shows: one to four things, each in a place of its own; in a video one of them moves."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

from vita_training.data.sample import Thing
from vita_training.world.things import BIG, CELLS, COLOURS, MAX_THINGS, PLACE_AT, PLACES, SHAPES, SMALL

CLEARLY_BIGGER = 1.3  # at least this ratio of radii, for "which is bigger" to be asked: any big one to any small one
JITTER = 0.02  # of a centre, as a share of the side
FRAMES = (4, 8)  # of a video

Direction = Literal["left", "right", "up", "down"]
STEPS: dict[Direction, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True, slots=True)
class Scene:
    """Things in the order of PLACES; no two share a place, or both colour and shape."""

    things: tuple[Thing, ...]

    def with_shape(self, shape: str) -> tuple[Thing, ...]:
        """The things of one shape."""
        return tuple(t for t in self.things if t.shape == shape)

    def with_colour(self, colour: str) -> tuple[Thing, ...]:
        """The things of one colour."""
        return tuple(t for t in self.things if t.colour == colour)

    def at(self, place: str) -> Thing | None:
        """The thing in a place, if any."""
        return next((t for t in self.things if t.place == place), None)


@dataclass(frozen=True, slots=True)
class Motion:
    """One thing moves over the frames of a video; the others stay."""

    mover: int  # its index in every frame
    direction: Direction
    frames: tuple[tuple[Thing, ...], ...]  # the things of each frame, in one order


def is_clearly_bigger(one: Thing, other: Thing) -> bool:
    """Whether anybody would see that `one` is bigger."""
    return one.radius >= CLEARLY_BIGGER * other.radius


def sample_scene(rng: random.Random, count: int | None = None) -> Scene:
    """Draw a scene; a shape or a colour often occurs twice, so that counting and looking closely pay."""
    names = _sample_names(rng, count or rng.choice((1, 2, 2, 3, 3, 4)))
    places = sorted(rng.sample(PLACES, len(names)), key=PLACES.index)
    return Scene(tuple(_placed(c, s, p, rng) for (c, s), p in zip(names, places, strict=True)))


def sample_motion(rng: random.Random) -> Motion:
    """Draw a video: the way of what moves is free of other things."""
    scene = sample_scene(rng, rng.choice((1, 2, 2, 3)))
    mover = rng.randrange(len(scene.things))
    thing = scene.things[mover]
    free: dict[Direction, list[tuple[int, int]]] = {
        step: _free_way(scene, thing, change) for step, change in STEPS.items()
    }
    directions: list[Direction] = [step for step, cells in free.items() if cells]
    if not directions:
        return sample_motion(rng)
    direction = rng.choice(directions)
    end = rng.choice(free[direction])
    return Motion(mover, direction, _frames(scene, mover, end, rng.randint(*FRAMES)))


def _sample_names(rng: random.Random, count: int) -> list[tuple[str, str]]:
    names: list[tuple[str, str]] = []
    while len(names) < min(count, MAX_THINGS):
        colour, shape = rng.choice(COLOURS), rng.choice(SHAPES)
        if names and rng.random() < 0.3:
            colour, shape = (colour, rng.choice(names)[1]) if rng.random() < 0.6 else (rng.choice(names)[0], shape)
        if (colour, shape) not in names:
            names.append((colour, shape))
    return names


def _placed(colour: str, shape: str, place: str, rng: random.Random) -> Thing:
    column, row = CELLS[place]
    x, y = (column + 0.5) / 3 + rng.uniform(-JITTER, JITTER), (row + 0.5) / 3 + rng.uniform(-JITTER, JITTER)
    return Thing(colour, shape, place, x, y, rng.uniform(*(BIG if rng.random() < 0.55 else SMALL)))


def _free_way(scene: Scene, thing: Thing, step: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells that a thing can reach step by step before another thing or the edge is in its way."""
    (column, row), (dx, dy) = CELLS[thing.place], step
    cells: list[tuple[int, int]] = []
    while (cell := (column := column + dx, row := row + dy)) in PLACE_AT and not scene.at(PLACE_AT[cell]):
        cells.append(cell)
    return cells


def _frames(scene: Scene, mover: int, end: tuple[int, int], count: int) -> tuple[tuple[Thing, ...], ...]:
    thing = scene.things[mover]
    (column, row), start = end, CELLS[thing.place]
    dx, dy = (column - start[0]) / 3, (row - start[1]) / 3
    frames: list[tuple[Thing, ...]] = []
    for index in range(count):
        share = index / (count - 1)
        x, y = thing.x + share * dx, thing.y + share * dy
        cell = (min(2, int(x * 3)), min(2, int(y * 3)))
        moved = replace(thing, x=x, y=y, place=PLACE_AT[cell])
        frames.append((*scene.things[:mover], moved, *scene.things[mover + 1 :]))
    return tuple(frames)
