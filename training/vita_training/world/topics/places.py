"""Where something is, and what is somewhere."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene
from vita_training.world.things import NAMES, PLACES, SHAPES, a, name
from vita_training.world.topics.colours import shape_to_ask_about

WHERE = Kind(
    "where",
    question=(
        "where is the {name}",
        "where do you see the {name}",
        "where can you see the {name}",
        "where would you say the {name} is",
    ),
    clause=("where the {name} is", "where you see the {name}"),
    request=("find the {name}",),
)
WHERE_SHAPE = Kind(
    "where_shape",
    question=("where is the {shape}", "where do you see the {shape}", "where can you see the {shape}"),
    clause=("where the {shape} is", "where you see the {shape}"),
    request=("find the {shape}",),
)
AT = Kind(
    "at",
    question=(
        "what is {place}",
        "what do you see {place}",
        "what can you see {place}",
        "which shape is {place}",
        "is there anything {place}",
        "which thing is {place}",
    ),
    clause=("what is {place}", "what you see {place}", "which shape is {place}"),
)
KINDS = (WHERE, WHERE_SHAPE, AT)
ABSENT_SHARE, EMPTY_SHARE = 0.1, 0.25


def ask(asker: Asker, scene: Scene) -> Question:
    """Ask where a thing is, or what is in a place."""
    rng, kind = asker.rng, asker.rng.choice((WHERE, WHERE_SHAPE, AT, AT))
    if kind == WHERE:
        thing = rng.choice(scene.things)
        absent = [n for n in NAMES if n not in {name(t) for t in scene.things}]
        if rng.random() < ABSENT_SHARE:
            asked = rng.choice(absent)
            return asker.ask(WHERE, f"There is no {asked}.", name=asked)
        return asker.ask(WHERE, f"The {name(thing)} is {thing.place}.", thing, name=name(thing))
    if kind == WHERE_SHAPE:
        shape = shape_to_ask_about(asker, scene)
        found = next(iter(scene.with_shape(shape)), None)
        return asker.ask(WHERE_SHAPE, shape_answer(scene, shape), found, shape=shape)
    place = rng.choice(PLACES) if rng.random() < EMPTY_SHARE else rng.choice(scene.things).place
    return asker.ask(AT, place_answer(scene, place), scene.at(place), place=place)


def shape_answer(scene: Scene, shape: str) -> str:
    """Say where the one thing of a shape is."""
    found = next(iter(scene.with_shape(shape)), None)
    return f"The {shape} is {found.place}." if found else f"There is no {shape}."


def place_answer(scene: Scene, place: str) -> str:
    """Say what is in a place."""
    found = scene.at(place)
    return f"There is {a(name(found))} {place}." if found else f"There is nothing {place}."


def answers() -> Iterator[str]:
    """All that this topic says."""
    for place in PLACES:
        yield f"There is nothing {place}."
        yield from (f"The {named} is {place}." for named in (*NAMES, *SHAPES))
        yield from (f"There is {a(named)} {place}." for named in NAMES)
    yield from (f"There is no {named}." for named in NAMES)
