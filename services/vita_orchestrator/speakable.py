"""Cuts an answer into clauses that can be spoken while the rest is still being written. Pure; fed with deltas.

The speech decoder reads a whole clause before its first sound, so the listener waits for the first clause to be
complete: it is short on purpose (the first comma ends it, or `FIRST_LIMIT_CHARS`), while later clauses are whole
sentences, which sound better, up to `LIMIT_CHARS`. English and Chinese punctuation count alike; a period or comma
inside a number (3.14, 1,000), a clock time (3:30), an abbreviation (Dr., e.g.) or an initial ends nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST_SOFT_CHARS = 6  # "Well, …" is cut, "No, it is" is not: a syllable alone sounds clipped
FIRST_LIMIT_CHARS = 60  # about 4 s of speech: the first sound waits no longer than this takes to write
SOFT_CHARS = 80  # a later clause ends at a comma only when it is this long
LIMIT_CHARS = 200  # 13 s of speech; the decoder stops at 25 s
WIDE_CHAR = 3  # a Chinese character is worth three Latin letters of speaking time

HARD_ASCII = ".!?;:"
SOFT_ASCII = ","
HARD_WIDE = "。！？；：…"
SOFT_WIDE = "，、"
CLOSERS = "\"')]}”’」』）】*_`"
_TITLES = {"mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "ave", "blvd"}
_LATIN = {"vs", "etc", "e.g", "i.e", "eg", "ie", "cf", "al", "fig", "approx", "a.m", "p.m", "est"}
_NAMES = {"inc", "ltd", "co", "corp", "dept", "u.s", "u.k"}
_MONTHS = {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
ABBREVIATIONS = frozenset(_TITLES | _LATIN | _NAMES | _MONTHS)
_LAST_WORD = re.compile(r"([A-Za-z][A-Za-z.]*)$")


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of the answer to be spoken in one breath."""

    text: str  # as written, outer spaces removed
    end: int  # characters of the answer up to and including this clause


def is_wide(character: str) -> bool:
    """Whether the character is Chinese (or of another wide script) and so stands for a syllable."""
    return "⺀" <= character <= "鿿" or "豈" <= character <= "﫿" or "぀" <= character <= "ヿ"


def weight(text: str) -> int:
    """Return the length of `text` in Latin letters of speaking time."""
    return sum(WIDE_CHAR if is_wide(character) else 1 for character in text)


class ClauseCutter:
    """One answer's text, delta by delta."""

    def __init__(self) -> None:
        self._pending = ""
        self._consumed = 0  # characters of the answer before `_pending`
        self._is_first = True

    def feed(self, delta: str) -> list[Clause]:
        """Take more text; return the clauses that are now complete, in order."""
        self._pending += delta
        return self._cut_all(is_final=False)

    def finish(self) -> list[Clause]:
        """The answer is over; return what was left."""
        clauses = self._cut_all(is_final=True)
        return clauses + self._emit(len(self._pending))

    def _cut_all(self, *, is_final: bool) -> list[Clause]:
        clauses: list[Clause] = []
        while (end := self._first_cut(is_final)) is not None:
            clauses += self._emit(end)
        return clauses

    def _emit(self, end: int) -> list[Clause]:
        text, self._pending = self._pending[:end].strip(), self._pending[end:]
        self._consumed += end
        if not any(character.isalnum() for character in text):
            return []  # nothing to say: a dash, a smiley, a stray bracket
        self._is_first = False
        return [Clause(text, self._consumed)]

    def _first_cut(self, is_final: bool) -> int | None:
        """Return where the pending text's first clause ends, or None while that cannot be told."""
        soft, limit = (FIRST_SOFT_CHARS, FIRST_LIMIT_CHARS) if self._is_first else (SOFT_CHARS, LIMIT_CHARS)
        size, last_gap = 0, 0
        for index, character in enumerate(self._pending):
            size += WIDE_CHAR if is_wide(character) else 1
            if character.isspace():
                last_gap = index + 1
            if self._ends(index, size >= soft, is_final):
                return self._past_closers(index + 1)
            if size >= limit:
                return last_gap if last_gap > 0 else index + 1
        return None

    def _ends(self, index: int, is_soft_allowed: bool, is_final: bool) -> bool:
        """Whether the character at `index` ends a clause."""
        character = self._pending[index]
        if character == "\n":
            return bool(self._pending[:index].strip())
        if character in HARD_WIDE or character in "!?":
            return True
        if character in SOFT_WIDE:
            return is_soft_allowed
        if character in HARD_ASCII or (character in SOFT_ASCII and is_soft_allowed):
            return self._ascii_ends(index, is_final)
        return False

    def _ascii_ends(self, index: int, is_final: bool) -> bool:
        """Whether an ASCII mark ends a clause; only what follows tells, so the last character never does."""
        following = self._pending[index + 1 : index + 2]
        if not following:
            return is_final
        if not (following.isspace() or following in CLOSERS or is_wide(following)):
            return False
        return self._pending[index] != "." or not self._is_abbreviation(index)

    def _is_abbreviation(self, index: int) -> bool:
        before = self._pending[:index]
        word = _LAST_WORD.search(before)
        if word is None:
            return before.strip().isdigit()  # "1. Open the lid": a list's number
        letters = word.group(1)
        is_initial = len(letters) == 1 and letters.isupper() and letters != "I"
        return is_initial or letters.lower() in ABBREVIATIONS

    def _past_closers(self, index: int) -> int:
        while index < len(self._pending) and self._pending[index] in CLOSERS + "!?。！？…":
            index += 1
        return index
