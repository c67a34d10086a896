"""Letters and words as CTC targets, class 0 being the blank."""

from __future__ import annotations

import re
from itertools import groupby

import jiwer

from vita_training.world.language import OPENINGS, questions
from vita_training.world.small_talk import SMALL_TALK, STRANGE

LETTERS = " abcdefghijklmnopqrstuvwxyz"


def plain(text: str) -> str:
    """Small letters and single spaces only."""
    return " ".join(re.sub(r"[^a-z ]", "", text.lower()).split())


WORDS = sorted({w for t in (*questions(), *(q for q, _ in SMALL_TALK), *STRANGE, *OPENINGS) for w in plain(t).split()})
_WORD_IDS = {word: index + 1 for index, word in enumerate(WORDS)}


def letter_ids(text: str) -> list[int]:
    """Classes of a text's letters and spaces."""
    return [LETTERS.index(letter) + 1 for letter in plain(text)]


def word_ids(text: str) -> list[int]:
    """Classes of a text's words."""
    return [_WORD_IDS[word] for word in plain(text).split()]


def read_letters(classes: list[int]) -> str:
    """Collapse repeats and drop blanks."""
    return " ".join("".join(LETTERS[c - 1] for c, _ in groupby(classes) if c).split())


def word_error_rate(references: list[str], read: list[str]) -> float:
    """Word error rate over all texts."""
    return float(jiwer.wer([plain(text) for text in references], [text or "-" for text in read]))
