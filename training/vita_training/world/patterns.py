"""Questions without what they ask about: which wording is this text?

Case, punctuation and spelling are left out, and every color, shape, place, number and name becomes a mark, so that all
questions in one wording have one pattern, typed or spoken.
"""

from __future__ import annotations

import re
from functools import cache

from vita_training.world.numerals import NUMBERS
from vita_training.world.phrasing import wordings
from vita_training.world.things import COLOURS, NAMES, PLACES, SHAPES, a
from vita_training.world.topics.counts import PLURALS
from vita_training.world.topics.every import KINDS
from vita_training.world.topics.memory import PEOPLE
from vita_training.world.topics.repeating import PHRASES
from vita_training.world.topics.tools import ROOMS, STATES
from vita_training.world.topics.unknown import ANIMALS, CITIES, COUNTRIES, FOODS

# What may stand in each slot of a core.
SLOTS: dict[str, tuple[str, ...]] = {
    **{"colour": COLOURS, "shape": SHAPES, "one": SHAPES, "other": SHAPES, "shapes": tuple(PLURALS.values())},
    **{"name": NAMES, "a_name": tuple(map(a, NAMES)), "place": PLACES, "a": NUMBERS, "b": NUMBERS, "number": NUMBERS},
    **{"person": PEOPLE, "phrase": PHRASES, "room": ROOMS, "state": STATES},
    **{"city": CITIES, "country": COUNTRIES, "food": FOODS, "animal": ANIMALS},
}
_MARKS = {
    **{"colour": "C", "shape": "S", "shapes": "S", "place": "P", "number": "N", "person": "X", "room": "R"},
    **{"state": "O", "city": "Y", "country": "L", "food": "F", "animal": "A"},
}
_MARK_OF = {value.lower(): mark for slot, mark in _MARKS.items() for value in SLOTS[slot]} | {"an": "a"}
_VALUES = re.compile(r"\b(" + "|".join(sorted(map(re.escape, _MARK_OF), key=len, reverse=True)) + r"|\d+)\b")
_SYMBOLS = (("colour", "color"), ("+", "plus"), (" - ", " minus "))
_PHRASE = r"(?:(?:[CSNPX]|hello|goodbye|good morning|thank you)(?: |$))+"  # words to repeat, in any order


def pattern(text: str) -> str:
    """Leave of a question what makes its wording: "what color is the S"."""
    plain = text.lower()
    for written, said in _SYMBOLS:
        plain = plain.replace(written, said)
    plain = " ".join(re.sub(r"[^a-z0-9 ]", " ", plain).split())
    return _VALUES.sub(lambda match: _MARK_OF.get(match[1], "N"), plain)


def is_held_out(text: str) -> bool:
    """Whether a question, typed or spoken, is in a wording that training never meets."""
    return _is_among(text, *_known(is_held_out=True))


def is_whole(text: str) -> bool:
    """Whether a text is a question or a remark with nothing missing, in any wording."""
    return is_held_out(text) or _is_among(text, *_known(is_held_out=False))


def _is_among(text: str, patterns: frozenset[str], phrases: re.Pattern[str]) -> bool:
    marked = pattern(text)
    return marked in patterns or phrases.fullmatch(marked) is not None


@cache
def _known(*, is_held_out: bool) -> tuple[frozenset[str], re.Pattern[str]]:
    """The patterns of all wordings, and one expression for those that end in any phrase."""
    patterns: set[str] = set()
    phrases: list[str] = []
    for kind in KINDS:
        known = wordings(kind)
        for wording in known.held_out if is_held_out else (*known.bare, *known.framed):
            if "{phrase}" in wording:
                before, after = wording.split("{phrase}")
                phrases.append(f"{pattern(before)} {_PHRASE}{pattern(after)}")
            else:
                patterns.add(pattern(wording.format(**{slot: values[0] for slot, values in SLOTS.items()})))
    return frozenset(patterns), re.compile("|".join(phrases))
