"""How things are put: a core ("what color is the {shape}") in a frame ("Can you tell me …?").

A kind of question has several cores, and every core fits the frames of its manner, so that the number of wordings is
large and each part of a wording is met in many others.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from vita_training.data.sample import Thing
from vita_training.world.held_out import is_wording_held_out
from vita_training.world.question import Question

Manner = Literal["question", "clause", "request", "statement", "whole"]
# The first frame of a manner is the bare one, except that a clause cannot stand alone.
FRAMES: dict[Manner, tuple[str, ...]] = {
    "question": (
        "{}?",
        "Please, {}?",
        "Okay, {}?",
        "Now, {}?",
        "And now, {}?",
        "Vita, {}?",
        "Hey Vita, {}?",
        "Tell me, {}?",
        "Please tell me, {}?",
        "Stop. {}?",
        "Wait. {}?",
        "Thank you. {}?",
        "I have a question. {}?",
    ),
    "clause": (
        "Tell me {}.",
        "Please tell me {}.",
        "Can you tell me {}?",
        "Could you tell me {}?",
        "Can you say {}?",
        "I want to know {}.",
        "I would like to know {}.",
        "Do you know {}?",
        "Vita, tell me {}.",
        "Now tell me {}.",
    ),
    "request": (
        "{}.",
        "Please {}.",
        "{}, please.",
        "Can you {}?",
        "Could you {}?",
        "Could you please {}?",
        "Now {}.",
        "Okay, {}.",
        "Vita, {}.",
        "I want you to {}.",
        "Stop. {}.",
    ),
    "statement": ("{}.", "Hello, {}.", "Hi, {}.", "Okay, {}.", "Well, {}.", "Vita, {}."),
    "whole": ("{}",),
}
BARE_SHARE = 0.5  # of learnt wordings that are drawn without a frame


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question, with its cores by manner; cores hold slots such as {shape}."""

    name: str
    question: tuple[str, ...] = ()
    clause: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    statement: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wordings:
    """All wordings of a kind, slots still open."""

    bare: tuple[str, ...]
    framed: tuple[str, ...]
    held_out: tuple[str, ...]


@cache
def wordings(kind: Kind) -> Wordings:
    """Put every core of a kind into every frame of its manner."""
    bare: list[str] = []
    framed: list[str] = []
    held_out: list[str] = []
    for manner in get_args(Manner):
        for core in getattr(kind, manner):
            for index, frame in enumerate(FRAMES[manner]):
                is_bare = index == 0 and manner != "clause"
                is_kept = is_wording_held_out(frame, core, is_bare=is_bare)
                (held_out if is_kept else bare if is_bare else framed).append(_sentences(frame.format(core)))
    return Wordings(tuple(bare), tuple(framed), tuple(held_out))


@dataclass(frozen=True, slots=True)
class Asker:
    """Draws the words of questions: from the learnt wordings, or where there are any from the held-out ones."""

    rng: random.Random
    is_held_out: bool = False

    def ask(self, kind: Kind, answer: str, about: Thing | None = None, **slots: str) -> Question:
        """Word a question of a kind; `slots` are what its cores leave open."""
        meaning = " ".join((kind.name, *slots.values()))
        return Question(kind.name, meaning, self._wording(kind).format(**slots), answer, about)

    def _wording(self, kind: Kind) -> str:
        known = wordings(kind)
        if self.is_held_out and known.held_out:
            return self.rng.choice(known.held_out)
        is_bare = not known.framed or (known.bare and self.rng.random() < BARE_SHARE)
        return self.rng.choice(known.bare if is_bare else known.framed)


def _sentences(text: str) -> str:
    """Begin every sentence with a capital; a slot's first letter stays as it is."""
    return re.sub(r"(^|[.?] )([a-z])", lambda match: match[1] + match[2].upper(), text)
