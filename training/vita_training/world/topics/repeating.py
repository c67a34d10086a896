"""Saying something again, word for word: words of the world in any order."""

from __future__ import annotations

import random
from collections.abc import Iterator

from vita_training.world.numerals import NUMBERS
from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.things import COLOURS, PLACES, SHAPES
from vita_training.world.topics.memory import PEOPLE

REPEAT = Kind(
    "repeat",
    request=(
        "repeat after me, {phrase}",
        "say {phrase}",
        "repeat {phrase}",
        "say after me, {phrase}",
        "repeat the words {phrase}",
    ),
)
KINDS = (REPEAT,)
PHRASE_COUNT = 300  # few enough that each is recorded
MOST_WORDS = 5
_WORDS = (*COLOURS, *SHAPES, *NUMBERS, *PEOPLE, "hello", "goodbye", "good morning", "thank you", *PLACES)


def _phrases() -> tuple[str, ...]:
    rng = random.Random(0)
    drawn = (" ".join(rng.sample(_WORDS, rng.randint(1, MOST_WORDS))) for _ in range(10 * PHRASE_COUNT))
    short = (phrase for phrase in drawn if len(phrase.split()) <= MOST_WORDS)
    return tuple(dict.fromkeys(short))[:PHRASE_COUNT]


PHRASES = _phrases()


def ask(asker: Asker) -> Question:
    """Ask to repeat a phrase."""
    phrase = asker.rng.choice(PHRASES)
    return asker.ask(REPEAT, repeated(phrase), phrase=phrase)


def repeated(phrase: str) -> str:
    """Say the phrase as a sentence."""
    return f"{phrase[0].upper()}{phrase[1:]}."


def answers() -> Iterator[str]:
    """All that this topic says."""
    yield from map(repeated, PHRASES)
