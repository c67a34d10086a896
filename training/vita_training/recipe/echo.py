"""Which words of an answer were said before, and where: a transcript's, a repeated phrase's, a name's, a number's.

What is heard says its words somewhere in its embeddings; where, only the model knows (listening.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vita15.tokenizer import Tokenizer
from vita_training.world.numerals import NUMBERS
from vita_training.world.topics.memory import PEOPLE

REPEATS = frozenset({"repeat", "dictation"})  # kinds of questions of which the answer is a part, word for word
SAYS_AGAIN = frozenset({"tell_name", "tell_number", "plus", "minus"})  # whose names and numbers are said again
RECALLS: Mapping[str, str] = {"ask_name": "tell_name", "ask_number": "tell_number"}  # those of an earlier kind


@dataclass(frozen=True, slots=True)
class Word:
    """A token of what is said to the assistant, or by it."""

    token: int
    place: int  # its position in the row, or its place among the words of a clip
    clip: int | None = None  # which of the row's


@dataclass(frozen=True, slots=True)
class Echo:
    """A word of an answer that was said before."""

    query: int  # the position that is about to say it
    said: tuple[Word, ...]  # one is enough


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question so far, and the words in it and in its answer."""

    kind: str
    words: list[Word]


def spoken_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Tokens of the words of a text, its punctuation left out."""
    return tokenizer.encode("".join(letter for letter in text if letter.isalnum() or letter in " '"))


class Echoes:
    """Finds what is said again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._names = {word.lower() for word in (*PEOPLE, *NUMBERS)}
        self._plain: dict[int, str] = {}

    def written(self, ids: Sequence[int], begin: int, text: str, clip: int) -> list[Echo]:
        """All words of a clip, said again in order from position `begin` on; punctuation is written, not said."""
        found: list[Echo] = []
        position = begin
        for place, token in enumerate(spoken_ids(self._tokenizer, text)):
            while position < len(ids) and ids[position] != token:
                position += 1
            if position == len(ids):
                break
            found.append(Echo(position - 1, (Word(token, place, clip),)))
            position += 1
        return found

    def answered(self, ids: Sequence[int], begin: int, exchanges: Sequence[Exchange]) -> list[Echo]:
        """What an answer from position `begin` on says again of the newest exchange, or of the one it recalls."""
        kind, words = exchanges[-1].kind, exchanges[-1].words
        if kind in REPEATS:
            return self._repeated(ids, begin, words)
        if kind in RECALLS:
            told = [exchange.words for exchange in exchanges if exchange.kind == RECALLS[kind]]
            return self._named(ids, begin, told[-1]) if told else []
        return self._named(ids, begin, words) if kind in SAYS_AGAIN else []

    def _named(self, ids: Sequence[int], begin: int, words: Sequence[Word]) -> list[Echo]:
        """Each name and number, wherever it was said."""
        found: list[Echo] = []
        for position in range(begin, len(ids)):
            name = self._word(ids[position])
            said = tuple(word for word in words if self._word(word.token) == name)
            if name in self._names and said:
                found.append(Echo(position - 1, said))
        return found

    def _repeated(self, ids: Sequence[int], begin: int, words: Sequence[Word]) -> list[Echo]:
        """Each word, where the last part of the question that is like the answer has it."""
        again = [p for p in range(begin, len(ids)) if self._word(ids[p]).isalnum()]
        said = [word for word in words if self._word(word.token).isalnum()]
        answer = [self._word(ids[position]) for position in again]
        question = [self._word(word.token) for word in said]
        for start in range(len(said) - len(again), -1, -1):
            if question[start : start + len(again)] == answer:
                run = said[start : start + len(again)]
                return [Echo(position - 1, (word,)) for position, word in zip(again, run, strict=True)]
        return []

    def _word(self, token: int) -> str:
        if token not in self._plain:
            self._plain[token] = self._tokenizer.decode([token]).strip().lower()
        return self._plain[token]
