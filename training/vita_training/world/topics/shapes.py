"""What shape something is."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene
from vita_training.world.things import COLOURS, SHAPES

SHAPE = Kind(
    "shape",
    question=(
        "what shape is {colour}",
        "which shape is {colour}",
        "what is the {colour} shape",
        "what {colour} shape is there",
    ),
    clause=("what shape is {colour}", "which shape is {colour}", "what the {colour} shape is"),
)
KINDS = (SHAPE,)
ABSENT_SHARE = 0.12


def ask(asker: Asker, scene: Scene) -> Question:
    """Ask for the shape of what has a color that one thing has, or none."""
    colour = colour_to_ask_about(asker, scene)
    found = next(iter(scene.with_colour(colour)), None)
    return asker.ask(SHAPE, answer(scene, colour), found, colour=colour)


def answer(scene: Scene, colour: str) -> str:
    """Say the shape of the one thing of a color."""
    found = next(iter(scene.with_colour(colour)), None)
    return f"The {colour} shape is a {found.shape}." if found else f"Nothing is {colour}."


def colour_to_ask_about(asker: Asker, scene: Scene, besides: str = "") -> str:
    """Draw a color, not `besides`, that one thing has, or seldom none."""
    single = [colour for colour in COLOURS if colour != besides and len(scene.with_colour(colour)) == 1]
    absent = [colour for colour in COLOURS if not scene.with_colour(colour)]
    return asker.rng.choice(single if single and asker.rng.random() >= ABSENT_SHARE else absent)


def answers() -> Iterator[str]:
    """All that this topic says."""
    for colour in COLOURS:
        yield f"Nothing is {colour}."
        yield from (f"The {colour} shape is a {shape}." for shape in SHAPES)
