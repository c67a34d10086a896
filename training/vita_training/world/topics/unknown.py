"""What lies outside the small world, or cannot be told because there is no picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question

CITIES = ("Paris", "London", "Berlin", "Rome", "Tokyo", "New York", "Madrid", "Moscow")
COUNTRIES = ("France", "Spain", "Italy", "China", "India", "Egypt", "Japan", "Germany")
FOODS = ("soup", "rice", "pasta", "bread", "cake", "fish")
ANIMALS = ("dog", "cat", "horse", "bird", "cow", "mouse")
PLACE = Kind("unknown_place", question=("where is {city}", "how far is {city}", "what is the weather like in {city}"))
COUNTRY = Kind("unknown_country", question=("what is the capital of {country}", "who is the president of {country}"))
FOOD = Kind(
    "unknown_food",
    question=("how do I cook {food}", "how much does {food} cost"),
    request=("tell me how to cook {food}",),
)
ANIMAL = Kind(
    "unknown_animal", question=("how old can a {animal} get", "what does a {animal} eat", "why does a {animal} sleep")
)
OTHER = Kind(
    "unknown_other",
    question=(
        "how is the weather",
        "what day is it",
        "how old are you",
        "who made you",
        "where do you live",
        "what is the meaning of life",
        "who won the game",
        "when does the train leave",
    ),
    request=("tell me a joke", "sing a song", "tell me a story", "call my mother", "play some music"),
)
KINDS = (PLACE, COUNTRY, FOOD, ANIMAL, OTHER)
_SLOTS = {
    **{PLACE.name: ("city", CITIES), COUNTRY.name: ("country", COUNTRIES)},
    **{FOOD.name: ("food", FOODS), ANIMAL.name: ("animal", ANIMALS)},
}
UNKNOWN = "I do not know."
NO_PICTURE = "I do not see a picture."


def ask(asker: Asker) -> Question:
    """Ask for what nothing is known of."""
    rng, kind = asker.rng, asker.rng.choice((*KINDS, OTHER))
    if kind == OTHER:
        return asker.ask(OTHER, UNKNOWN)
    slot, values = _SLOTS[kind.name]
    return asker.ask(kind, UNKNOWN, None, **{slot: rng.choice(values)})


def without_picture(question: Question) -> Question:
    """Turn a question about a picture into one that has none."""
    return replace(question, kind="no_picture", answer=NO_PICTURE, about=None)


def answers() -> Iterator[str]:
    """All that this topic says."""
    yield from (UNKNOWN, NO_PICTURE)
