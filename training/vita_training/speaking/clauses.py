"""What the voice learns to say: the assistant's answers, cut and spelt out as the orchestrator does before it speaks.

The list of all answers of a world is combinatorial ("a red star and a blue circle"), and the voice needs no more than
each word beside each of its neighbours, often enough. So of a long list only that much is learnt, and of what is left
over some is kept aside to judge by. Besides whole clauses it learns pieces of them and every word alone, since a long
clause may be cut anywhere; and what is counted up also in any order, so that it reads what comes next and where the
end is, rather than knowing it by heart.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vita_orchestrator.speakable import ClauseCutter
from vita_orchestrator.spoken_form import spoken_form

from vita_training.data.sample import Source

NEIGHBOURS = 40  # clauses with each pair of neighbouring words, where there are so many
KEPT_ASIDE = 300  # clauses to judge by: half while training, half at the end only
KEPT_ASIDE_SHARE = 0.08  # of all clauses at most
MIN_WORDS = 3  # of a clause kept aside
MIN_OCCURRENCES = 12  # among the others, of each word of a clause kept aside
CUT_SHARE = 0.4  # of the clauses that are also learnt in two pieces, cut between words
MIN_PIECE_WORDS = 2
MIN_ITEMS = 4  # between commas, of a clause that is also learnt in other orders
SHUFFLES = 2  # such orders


@dataclass(frozen=True, slots=True)
class Clauses:
    """Clauses in the spoken form; the three share none."""

    train: tuple[str, ...]  # whole ones, pieces, lists in other orders and single words
    development: tuple[str, ...]  # judged while training; of what is in `train` no more than pieces
    held_out: tuple[str, ...]  # judged at the end only; likewise


def choose(texts: Iterable[str], seed: int = 0) -> Clauses:
    """Choose what to learn and what to judge by, of all that the assistant may say."""
    rng = random.Random(seed)
    said = list(dict.fromkeys(clause for text in texts for clause in cut(text)))
    rng.shuffle(said)
    kept = _keep_aside(said)
    chosen = _cover([clause for clause in said if clause not in set(kept)])
    pieces = [piece for clause in chosen if rng.random() < CUT_SHARE for piece in _pieces(clause, rng)]
    shuffled = [order for clause in chosen for order in _shuffled(clause, rng)]
    alone = [word + mark for word in sorted(_counts(chosen)) for mark in (".", ",", "")]
    train = dict.fromkeys(clause for clause in (*chosen, *pieces, *shuffled, *alone) if clause not in set(kept))
    return Clauses(tuple(train), tuple(kept[::2]), tuple(kept[1::2]))


def answers_in(source: Source) -> list[str]:
    """All that the assistant says in a set of conversations."""
    samples = (source[index] for index in range(len(source)))
    return list(dict.fromkeys(u.value for s in samples for u in s.conversations if u.speaker == "gpt"))


def cut(text: str) -> list[str]:
    """Cut an answer in the two ways that the orchestrator may: its first clause is shorter than later ones.

    Returns:
        The clauses in their spoken form, each once.
    """
    first, later = ClauseCutter(), ClauseCutter()
    later.feed("So. ")
    clauses = [c for cutter in (first, later) for c in (*cutter.feed(text), *cutter.finish())]
    return [form for form in dict.fromkeys(spoken_form(c.text) for c in clauses) if words(form)]


def words(text: str) -> list[str]:
    """The words of a clause in lower case, without punctuation."""
    return re.findall(r"[\w']+", text.lower())


def _keep_aside(said: list[str]) -> list[str]:
    """Take clauses all of whose words stay common without them."""
    counts = _counts(said)
    kept: list[str] = []
    for clause in said:
        if len(kept) >= min(KEPT_ASIDE, KEPT_ASIDE_SHARE * len(said)):
            break
        parts = set(words(clause))
        if len(words(clause)) >= MIN_WORDS and all(counts[word] > MIN_OCCURRENCES for word in parts):
            kept.append(clause)
            counts.subtract(parts)
    return kept


def _cover(said: list[str]) -> list[str]:
    """Take clauses until each pair of neighbouring words has occurred often enough."""
    pairs: Counter[tuple[str, str]] = Counter()
    chosen: list[str] = []
    for clause in said:
        parts = words(clause)
        own = set(zip(("", *parts), (*parts, ""), strict=True))
        if any(pairs[pair] < NEIGHBOURS for pair in own):
            pairs.update(own)
            chosen.append(clause)
    return chosen


def _counts(said: Iterable[str]) -> Counter[str]:
    """In how many clauses each word occurs."""
    return Counter(word for clause in said for word in set(words(clause)))


def _pieces(clause: str, rng: random.Random) -> list[str]:
    parts = clause.split()
    if len(parts) < 2 * MIN_PIECE_WORDS:
        return []
    at = rng.randint(MIN_PIECE_WORDS, len(parts) - MIN_PIECE_WORDS)
    return [" ".join(parts[:at]), " ".join(parts[at:])]


def _shuffled(clause: str, rng: random.Random) -> list[str]:
    """Put what stands between a clause's commas in other orders, if it is much; what ends the clause stays its end."""
    bare = clause.rstrip(".,?!")
    items, end = bare.split(", "), clause[len(bare) :]
    return [", ".join(rng.sample(items, len(items))) + end for _ in range(SHUFFLES if len(items) >= MIN_ITEMS else 0)]
