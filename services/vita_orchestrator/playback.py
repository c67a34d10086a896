"""What the listener has heard of an answer: how much sound, and so which words.

A client may report what it has played. Without reports it is assumed to play in real time from the first sound it got,
pausing where nothing more had been sent. Words are timed within a clause by their length, which is right to about a
word; a word counts as heard only when all of it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vita_sessions.session import Mark

from vita_orchestrator.speakable import weight

NEVER_MS = 2**31 - 1  # the time of words that have no sound yet
MS_PER_WEIGHT = 67  # a Latin letter's share of speech at 15 letters a second: for clauses still being spoken
_WORD = re.compile(r"[⺀-鿿぀-ヿ]|[^\s⺀-鿿぀-ヿ]+")


class Playback:
    """One answer's sound at the listener's end."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sent_ms = 0
        self._anchor_ms = 0.0  # known or assumed to be played ...
        self._anchor_s = 0.0  # ... at this time

    @property
    def sent_ms(self) -> int:
        """Sound sent so far."""
        return self._sent_ms

    def sent(self, end_ms: int) -> None:
        """Sound up to `end_ms` has left."""
        played = self._played()
        self._anchor_ms, self._anchor_s, self._sent_ms = played, self._now(), end_ms

    def report(self, played_ms: int) -> None:
        """The client says that it has played so much."""
        self._anchor_ms, self._anchor_s = float(min(max(0, played_ms), self._sent_ms)), self._now()

    def played_ms(self) -> int:
        """Return how much has been heard, reported or assumed."""
        return int(self._played())

    def _played(self) -> float:
        if self._sent_ms == 0:
            return 0.0
        return min(float(self._sent_ms), self._anchor_ms + (self._now() - self._anchor_s) * 1000)


@dataclass(slots=True)
class Spoken:
    """A clause on its way to the listener."""

    text_start: int  # characters of the answer
    text_end: int
    audio_start_ms: int
    audio_end_ms: int | None = None  # None while it is being made


def marks(text: str, clauses: Iterable[Spoken], *, end_ms: int = NEVER_MS) -> list[Mark]:
    """Tie an answer's words to its sound: a mark a word, the last at the text's end.

    `end_ms` is when words are heard that have no sound of their own: the end of an answer that is whole.
    """
    result: list[Mark] = []
    for clause in clauses:
        words = text[clause.text_start : clause.text_end]
        total = max(1, weight(words))
        known = clause.audio_end_ms
        length_ms = total * MS_PER_WEIGHT if known is None else known - clause.audio_start_ms
        for word in _WORD.finditer(words):
            at_ms = clause.audio_start_ms + length_ms * weight(words[: word.end()]) // total
            result.append(Mark(clause.text_start + word.end(), at_ms))
    if text and (not result or result[-1].text_end < len(text.rstrip())):
        result.append(Mark(len(text), end_ms))
    return result
