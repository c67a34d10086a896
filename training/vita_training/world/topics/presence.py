"""Whether something is there."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene
from vita_training.world.things import COLOURS, NAMES, SHAPES, a, name

IS_THERE = Kind(
    "is_there",
    question=(
        "is there {a_name}",
        "do you see {a_name}",
        "can you see {a_name}",
        "is there {a_name} in the picture",
        "can you find {a_name}",
    ),
    clause=("if there is {a_name}", "whether you see {a_name}"),
)
IS_THERE_SHAPE = Kind(
    "is_there_shape",
    question=(
        "is there a {shape}",
        "do you see a {shape}",
        "can you see a {shape}",
        "is there a {shape} in the picture",
    ),
    clause=("if there is a {shape}", "whether you see a {shape}"),
)
IS_THERE_COLOUR = Kind(
    "is_there_colour",
    question=("is there anything {colour}", "is there something {colour}", "do you see anything {colour}"),
    clause=("if there is anything {colour}", "if anything is {colour}"),
)
KINDS = (IS_THERE, IS_THERE_SHAPE, IS_THERE_COLOUR)


def ask(asker: Asker, scene: Scene) -> Question:
    """Ask after a thing, a shape or a color; half the time it is there."""
    rng, kind = asker.rng, asker.rng.choice((IS_THERE, IS_THERE, IS_THERE_SHAPE, IS_THERE_COLOUR))
    thing, is_there = rng.choice(scene.things), rng.random() < 0.5
    if kind == IS_THERE:
        asked = name(thing) if is_there else rng.choice(_near_misses(scene))
        found = thing if is_there else None
        return asker.ask(IS_THERE, _reply(asked, is_there=is_there), found, a_name=a(asked))
    if kind == IS_THERE_SHAPE:
        shape = thing.shape if is_there else rng.choice([s for s in SHAPES if not scene.with_shape(s)])
        matches = scene.with_shape(shape)
        found = matches[0] if len(matches) == 1 else None
        return asker.ask(IS_THERE_SHAPE, _reply(shape, is_there=is_there), found, shape=shape)
    colour = thing.colour if is_there else rng.choice([c for c in COLOURS if not scene.with_colour(c)])
    matches = scene.with_colour(colour)
    found = matches[0] if len(matches) == 1 else None
    reply = f"Yes, there is something {colour}." if is_there else f"No, nothing is {colour}."
    return asker.ask(IS_THERE_COLOUR, reply, found, colour=colour)


def answers() -> Iterator[str]:
    """All that this topic says."""
    for asked in (*NAMES, *SHAPES):
        yield _reply(asked, is_there=True)
        yield _reply(asked, is_there=False)
    for colour in COLOURS:
        yield from (f"Yes, there is something {colour}.", f"No, nothing is {colour}.")


def _near_misses(scene: Scene) -> list[str]:
    """What is not there: mostly of a color and a shape that are, apart or together with another."""
    there = {name(thing) for thing in scene.things}
    colours, shapes = {t.colour for t in scene.things}, {t.shape for t in scene.things}
    near = [n for n in NAMES if n not in there and (n.split()[0] in colours or n.split()[1] in shapes)]
    return near or [n for n in NAMES if n not in there]


def _reply(asked: str, *, is_there: bool) -> str:
    return f"Yes, there is {a(asked)}." if is_there else f"No, there is no {asked}."
