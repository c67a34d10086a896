"""How people type what others would say: small letters, no full stop, British spelling, digits."""

from __future__ import annotations

import random
import re

from vita_training.world.numerals import NUMBERS

LOWER_SHARE, BARE_SHARE, BRITISH_SHARE, DIGITS_SHARE = 0.35, 0.3, 0.15, 0.4
_NUMBER = re.compile(rf"\b({'|'.join(NUMBERS)})\b")
_WITH_NUMBERS = {"plus", "minus", "count_to", "count_from", "tell_number"}  # kinds whose number words are numbers


def typed_forms(question: str) -> list[str]:
    """The ways a question is typed, the plain one first."""
    bare = question.rstrip(".?")
    forms = [question, question.lower(), bare, bare.lower()]
    forms += [form.replace("color", "colour") for form in forms if "color" in form]
    return list(dict.fromkeys(forms))


def typed(text: str, kind: str, rng: random.Random) -> str:
    """Type a question of a kind as people do."""
    is_lower, is_bare, is_british, has_digits = (
        rng.random() < share for share in (LOWER_SHARE, BARE_SHARE, BRITISH_SHARE, DIGITS_SHARE)
    )
    if has_digits and kind in _WITH_NUMBERS:
        text = digits(text)
    text = text.replace("color", "colour") if is_british else text
    text = text.rstrip(".?") if is_bare else text
    return text.lower() if is_lower else text


def digits(text: str) -> str:
    """Write numbers and their signs as digits and symbols: "what is 5 + 3"."""
    numbers = _NUMBER.sub(lambda match: str(NUMBERS.index(match[1])), text)
    return numbers.replace(" plus ", " + ").replace(" minus ", " - ")
