"""What color something is."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene
from vita_training.world.things import COLOURS, SHAPES

COLOUR = Kind(
    "colour",
    question=(
        "what color is the {shape}",
        "which color is the {shape}",
        "what is the color of the {shape}",
        "what color does the {shape} have",
    ),
    clause=("what color the {shape} is", "which color the {shape} is", "the color of the {shape}"),
)
IS_COLOUR = Kind(
    "is_colour",
    question=("is the {shape} {colour}", "would you say the {shape} is {colour}"),
    clause=("if the {shape} is {colour}", "whether the {shape} is {colour}"),
)
KINDS = (COLOUR, IS_COLOUR)
ABSENT_SHARE = 0.12  # of questions that ask about a shape that is not there


def ask(asker: Asker, scene: Scene) -> Question:
    """Ask for the color of a shape of which there is one, or none."""
    shape = shape_to_ask_about(asker, scene)
    found = next(iter(scene.with_shape(shape)), None)
    if found is None or asker.rng.random() < 0.7:
        return asker.ask(COLOUR, answer(scene, shape), found, shape=shape)
    colour = found.colour if asker.rng.random() < 0.5 else asker.rng.choice(COLOURS)
    reply = f"{'Yes' if colour == found.colour else 'No'}, the {shape} is {found.colour}."
    return asker.ask(IS_COLOUR, reply, found, shape=shape, colour=colour)


def answer(scene: Scene, shape: str) -> str:
    """Say the color of the one thing of a shape."""
    found = next(iter(scene.with_shape(shape)), None)
    return f"The {shape} is {found.colour}." if found else f"There is no {shape}."


def shape_to_ask_about(asker: Asker, scene: Scene, besides: str = "") -> str:
    """Draw a shape, not `besides`, that "the" can stand before: one thing has it, or seldom none."""
    single = [shape for shape in SHAPES if shape != besides and len(scene.with_shape(shape)) == 1]
    absent = [shape for shape in SHAPES if not scene.with_shape(shape)]
    return asker.rng.choice(single if single and asker.rng.random() >= ABSENT_SHARE else absent)


def answers() -> Iterator[str]:
    """All that this topic says."""
    for shape in SHAPES:
        yield f"There is no {shape}."
        for colour in COLOURS:
            yield from (f"{start} {shape} is {colour}." for start in ("The", "Yes, the", "No, the"))
