"""What the voice learns to say: every answer of the small world, whole and in the pieces that a conversation cuts.

At inference the speech decoder is given clauses: normalised text, cut at punctuation, the first one perhaps after a
few words only. So beside whole answers it learns them cut at commas and at any word, and every word alone.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from vita_training.world.language import answers, see
from vita_training.world.scenes import COLOURS, SHAPES
from vita_training.world.small_talk import NO_PICTURE, SMALL_TALK, UNKNOWN

HELD_OUT = 0.08  # of the answers; their words all occur elsewhere
MIN_HELD_OUT_WORDS = 3
MIN_OCCURRENCES = 12  # of a word among the rest, for a sentence holding it to be held out
TRIPLES = 2000  # "i see" with three things, beyond the world's own sample of all 13,000
CUT_SHARE = 0.6  # of the answers that are also learnt in two pieces cut between words
MIN_PIECE_WORDS = 2

_NAMES = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]


@dataclass(frozen=True, slots=True)
class Clauses:
    """Normalised clauses; nothing in `train` is said in `held_out` whole."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def normalised(text: str) -> str:
    """Lower-case, single spaces; the world's answers have no digits or symbols to spell out."""
    return " ".join(text.lower().split())


def words(text: str) -> list[str]:
    """The words of a clause, without punctuation."""
    return re.findall(r"[a-z']+", text.lower())


def clauses(seed: int = 0) -> Clauses:
    """Everything to learn, and what is kept aside to be judged by."""
    rng = random.Random(seed)
    said = [normalised(answer) for answer in answers()]
    held_out = _hold_out(said, rng)
    said += [normalised(see(tuple(rng.sample(_NAMES, 3)))) for _ in range(TRIPLES)]
    train = [text for text in said if text not in held_out]
    pieces = [piece for text in train for piece in comma_pieces(text)]
    cut = [piece for text in train if rng.random() < CUT_SHARE for piece in _word_pieces(text, rng)]
    alone = sorted({word for text in said for word in words(text)})
    single = [word + mark for word in alone for mark in (".", ",", "")]
    known = set(held_out)
    unique = dict.fromkeys(text for text in (*train, *pieces, *cut, *single) if text not in known)
    return Clauses(tuple(unique), tuple(held_out))


def judged(name: str) -> tuple[str, ...]:
    """The clauses to listen to: `held_out`, or of what was learnt `small_talk` or `short`.

    Raises:
        ValueError: no such set.
    """
    if name == "held_out":
        return clauses().held_out
    talk = [normalised(line) for line in (*(answer for _, answer in SMALL_TALK), NO_PICTURE, UNKNOWN)]
    if name == "small_talk":
        return tuple(dict.fromkeys(piece for line in talk for piece in (line, *comma_pieces(line))))
    if name == "short":
        whole = [text for text in clauses().train if text[-1] in ".,"]
        return tuple(text for text in whole if len(words(text)) in (1, 2, 3))
    raise ValueError(f"no set of clauses {name!r}; there are held_out, small_talk, short")


def comma_pieces(text: str) -> list[str]:
    """Cut after each comma; nothing where there is none."""
    pieces = re.findall(r"[^,]+,?", text)
    return [piece.strip() for piece in pieces] if len(pieces) > 1 else []


def _word_pieces(text: str, rng: random.Random) -> list[str]:
    parts = text.split()
    if len(parts) < 2 * MIN_PIECE_WORDS:
        return []
    cut = rng.randint(MIN_PIECE_WORDS, len(parts) - MIN_PIECE_WORDS)
    return [" ".join(parts[:cut]), " ".join(parts[cut:])]


def _hold_out(said: list[str], rng: random.Random) -> list[str]:
    """Draw sentences all of whose words stay common without them."""
    counts: dict[str, int] = {}
    for text in said:
        for word in words(text):
            counts[word] = counts.get(word, 0) + 1
    held: list[str] = []
    for text in rng.sample(said, len(said)):
        if len(held) >= HELD_OUT * len(said):
            break
        parts = words(text)
        if len(parts) >= MIN_HELD_OUT_WORDS and all(counts[word] > MIN_OCCURRENCES for word in parts):
            held.append(text)
            for word in parts:
                counts[word] -= 1
    return held
