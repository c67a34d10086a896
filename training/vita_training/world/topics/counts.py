"""How many there are."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene
from vita_training.world.things import COLOURS, MAX_THINGS, SHAPES

COUNT_SHAPE = Kind(
    "count_shape",
    question=(
        "how many {shapes} are there",
        "how many {shapes} do you see",
        "how many {shapes} can you see",
        "how many {shapes} are in the picture",
        "what is the number of {shapes}",
    ),
    clause=("how many {shapes} there are", "how many {shapes} you see", "how many {shapes} you can see"),
    request=("count the {shapes}",),
)
COUNT_COLOUR = Kind(
    "count_colour",
    question=(
        "how many {colour} shapes are there",
        "how many shapes are {colour}",
        "how many {colour} things do you see",
        "how many {colour} shapes can you see",
    ),
    clause=("how many {colour} shapes there are", "how many shapes are {colour}"),
    request=("count the {colour} shapes",),
)
COUNT_ALL = Kind(
    "count_all",
    question=(
        "how many shapes are there",
        "how many things are there",
        "how many shapes do you see",
        "how many shapes are in the picture",
        "how many shapes can you count",
    ),
    clause=("how many shapes there are", "how many things there are", "how many shapes you see"),
    request=("count the shapes", "count everything"),
)
KINDS = (COUNT_SHAPE, COUNT_COLOUR, COUNT_ALL)
PLURALS = {shape: f"{shape}es" if shape == "cross" else f"{shape}s" for shape in SHAPES}
COUNTED = ("no", "one", "two", "three", "four")  # how a number of things is said
ABSENT_SHARE = 0.2


def ask(asker: Asker, scene: Scene) -> Question:
    """Ask for the number of a shape, of a color, or of all."""
    kind = asker.rng.choice(KINDS)
    thing = asker.rng.choice(scene.things)
    is_absent = asker.rng.random() < ABSENT_SHARE
    if kind == COUNT_SHAPE:
        shape = asker.rng.choice(SHAPES) if is_absent else thing.shape
        return asker.ask(COUNT_SHAPE, answer(scene, shape), shapes=PLURALS[shape])
    if kind == COUNT_COLOUR:
        colour = asker.rng.choice(COLOURS) if is_absent else thing.colour
        reply = _say(len(scene.with_colour(colour)), f"{colour} shape", f"{colour} shapes")
        return asker.ask(COUNT_COLOUR, reply, colour=colour)
    return asker.ask(COUNT_ALL, _say(len(scene.things), "shape", "shapes"))


def answer(scene: Scene, shape: str) -> str:
    """Say how many things of a shape there are."""
    return _say(len(scene.with_shape(shape)), shape, PLURALS[shape])


def answers() -> Iterator[str]:
    """All that this topic says."""
    for count in range(MAX_THINGS + 1):
        yield from (_say(count, shape, PLURALS[shape]) for shape in SHAPES)
        yield from (_say(count, f"{colour} shape", f"{colour} shapes") for colour in COLOURS)
        yield _say(count, "shape", "shapes")


def _say(count: int, one: str, more: str) -> str:
    return f"There is one {one}." if count == 1 else f"There are {COUNTED[count]} {more}."
