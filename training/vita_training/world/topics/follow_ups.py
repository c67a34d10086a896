"""Questions that need the one before: "And the circle?", "Where is it?"."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.data.sample import Thing
from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene
from vita_training.world.things import COLOURS, PLACES, SHAPES, size
from vita_training.world.topics import colours, counts, places, shapes

AND_SHAPE = Kind(
    "and_shape",
    whole=("And the {shape}?", "And what about the {shape}?", "What about the {shape}?", "How about the {shape}?"),
)
AND_COLOUR = Kind("and_colour", whole=("And the {colour} one?", "And what about the {colour} one?"))
AND_PLACE = Kind("and_place", whole=("And {place}?", "And what is {place}?", "What about {place}?"))
AND_COUNT = Kind("and_count", whole=("And how many {shapes}?", "And {shapes}?"))
WHERE_IT = Kind("where_it", question=("where is it",), clause=("where it is",))
COLOUR_IT = Kind(
    "colour_it", question=("what color is it", "which color is it"), clause=("what color it is", "which color it is")
)
SIZE_IT = Kind("size_it", question=("is it big or small", "how big is it"), clause=("how big it is",))
KINDS = (AND_SHAPE, AND_COLOUR, AND_PLACE, AND_COUNT, WHERE_IT, COLOUR_IT, SIZE_IT)
_SAYS_COLOUR = {"colour", "is_colour", "shape", "where", "is_there", "at", "biggest", "smallest", "colour_it"}
_SAYS_PLACE = {"where", "where_shape", "at", "where_it"}


def ask(asker: Asker, scene: Scene, last: Question, *, has_places: bool = True) -> Question | None:
    """Ask on; None where nothing fits. `has_places`: nothing moves, so that a place can be told."""
    options = [*_and(asker, scene, last), *_about_it(asker, last)]
    if not has_places:
        options = [option for option in options if option.kind not in ("where_it", "and_place")]
    return asker.rng.choice(options) if options else None


def answers() -> Iterator[str]:
    """All that this topic says beyond the topics that it follows."""
    yield from (f"It is {word}." for word in (*COLOURS, *PLACES, "big", "small"))


def _and(asker: Asker, scene: Scene, last: Question) -> Iterator[Question]:
    if last.kind in ("colour", "where_shape") or (last.kind == "and_shape" and last.about):
        shape = colours.shape_to_ask_about(asker, scene, besides=last.about.shape if last.about else "")
        found = next(iter(scene.with_shape(shape)), None)
        is_place = last.kind == "where_shape" or last.answer.endswith(tuple(f"{place}." for place in PLACES))
        reply = places.shape_answer(scene, shape) if is_place else colours.answer(scene, shape)
        yield asker.ask(AND_SHAPE, reply, found, shape=shape)
    if last.kind in ("shape", "and_colour"):
        colour = shapes.colour_to_ask_about(asker, scene, besides=last.about.colour if last.about else "")
        found = next(iter(scene.with_colour(colour)), None)
        yield asker.ask(AND_COLOUR, shapes.answer(scene, colour), found, colour=colour)
    if last.kind in ("at", "and_place"):
        place = asker.rng.choice([thing.place for thing in scene.things] * 2 + list(PLACES))
        yield asker.ask(AND_PLACE, places.place_answer(scene, place), scene.at(place), place=place)
    if last.kind in ("count_shape", "and_count"):
        shape = asker.rng.choice([thing.shape for thing in scene.things] * 2 + list(SHAPES))
        yield asker.ask(AND_COUNT, counts.answer(scene, shape), shapes=counts.PLURALS[shape])


def _about_it(asker: Asker, last: Question) -> Iterator[Question]:
    thing: Thing | None = last.about
    if thing is None:
        return
    if last.kind not in _SAYS_PLACE and not last.answer.endswith(f"{thing.place}."):
        yield asker.ask(WHERE_IT, f"It is {thing.place}.", thing)
    if last.kind not in _SAYS_COLOUR and f" {thing.colour}" not in last.answer:
        yield asker.ask(COLOUR_IT, f"It is {thing.colour}.", thing)
    if asker.rng.random() < 0.5:
        yield asker.ask(SIZE_IT, f"It is {size(thing)}.", thing)
