"""The small world: a picture holds one to three things, each a shape of one colour in a place of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

COLOURS = ("red", "green", "blue", "yellow", "white", "black")
SHAPES = ("circle", "square", "triangle", "star")
PLACES = ("on the left", "on the right", "at the top", "at the bottom", "in the middle")
MAX_THINGS = 3


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape in a picture."""

    colour: str
    shape: str
    place: str

    @property
    def name(self) -> str:
        """Colour and shape: "red circle"."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows, in the order of PLACES; no two things share a place or both colour and shape."""

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


def sample_scene(rng: random.Random, thing_count: int | None = None) -> Scene:
    """Draw a scene; a shape or a colour often occurs twice, so that counting and looking closely pay."""
    count = thing_count or rng.choice((1, 2, 2, 3, 3))
    places = sorted(rng.sample(PLACES, count), key=PLACES.index)
    names: list[tuple[str, str]] = []
    while len(names) < count:
        name = (rng.choice(COLOURS), rng.choice(SHAPES))
        if names and rng.random() < 0.2:
            name = (name[0], rng.choice(names)[1])
        if name not in names:
            names.append(name)
    rng.shuffle(names)
    return Scene(tuple(Thing(c, s, p) for (c, s), p in zip(names, places, strict=True)))
