"""A name or a number, told and asked for later."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.numerals import NUMBERS
from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.situation import Situation

PEOPLE = (
    *("Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry"),
    *("Jack", "Kate", "Lucy", "Maria", "Nora", "Oliver", "Paul", "Tom"),
)
TELL_NAME = Kind(
    "tell_name",
    statement=("my name is {person}", "I am {person}", "you can call me {person}", "I have the name {person}"),
)
ASK_NAME = Kind(
    "ask_name",
    question=("what is my name", "who am I", "do you remember my name", "what did I tell you my name was"),
    clause=("what my name is", "who I am", "my name"),
)
TELL_NUMBER = Kind(
    "tell_number",
    request=("remember the number {number}", "keep the number {number} in mind"),
    statement=("my number is {number}", "the number is {number}"),
)
ASK_NUMBER = Kind(
    "ask_number",
    question=(
        "what was the number",
        "what is my number",
        "which number did I tell you",
        "do you remember the number",
        "which number was it that I told you",
    ),
    clause=("what the number was", "which number I told you", "the number"),
)
KINDS = (TELL_NAME, ASK_NAME, TELL_NUMBER, ASK_NUMBER)
_NO_NAME, _NO_NUMBER = "You have not told me your name.", "You have not told me a number."
UNTOLD_SHARE = 0.12  # of questions for what was not told


def ask(asker: Asker, situation: Situation) -> Question:
    """Tell something, or ask for what was told before."""
    is_name = asker.rng.random() < 0.5
    is_told = bool(situation.person if is_name else situation.number)
    is_asked = asker.rng.random() < (0.85 if is_told else UNTOLD_SHARE)
    if is_asked:
        return recall(asker, situation, is_name=is_name)
    if is_name:
        situation.person = asker.rng.choice(PEOPLE)
        return asker.ask(TELL_NAME, f"Nice to meet you, {situation.person}.", person=situation.person)
    situation.number = asker.rng.choice(NUMBERS)
    return asker.ask(TELL_NUMBER, f"Okay, I will remember {situation.number}.", number=situation.number)


def recall(asker: Asker, situation: Situation, *, is_name: bool) -> Question:
    """Ask for the name or the number."""
    if is_name:
        return asker.ask(ASK_NAME, f"Your name is {situation.person}." if situation.person else _NO_NAME)
    return asker.ask(ASK_NUMBER, f"The number is {situation.number}." if situation.number else _NO_NUMBER)


def answers() -> Iterator[str]:
    """All that this topic says."""
    yield from (_NO_NAME, _NO_NUMBER)
    for person in PEOPLE:
        yield from (f"Nice to meet you, {person}.", f"Your name is {person}.")
    for number in NUMBERS:
        yield from (f"Okay, I will remember {number}.", f"The number is {number}.")
