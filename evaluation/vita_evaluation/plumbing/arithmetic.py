"""What the bench calculates: paired ratios and their quartiles, growth exponents, the critical path of a turn. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from vita_orchestrator.hearing import BLOCK_ROWS
from vita_orchestrator.speakable import ClauseCutter
from vita_orchestrator.spoken_form import spoken_form
from vita_orchestrator.windows import FIRST_KEEP_CODES
from vita_replay.modelled.context import MARKER_TOKENS, tokens_of
from vita_replay.modelled.costs import Costs
from vita_replay.modelled.llm import PIECE_S, PIECE_TOKENS
from vita_replay.modelled.senses import SAMPLES_PER_ROW
from vita_replay.modelled.voice import CHUNK_CODES

A_A_LIMIT = 0.03  # a metric whose twin differs by more than this is void
CONTEXT_CODES = 10  # of look-ahead before the first window (vita_components/codec_decoder.py)
PIECE_SAMPLES = 2 * SAMPLES_PER_ROW  # what the speech encoder takes at a time


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and its quartiles."""

    median: float
    low: float  # first quartile
    high: float  # third quartile


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles. Raises ValueError: there are no values."""
    if not values:
        raise ValueError("there is nothing to take the median of")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def paired(a: Sequence[float], b: Sequence[float]) -> Spread:
    """Return the spread of A/B, pair by pair. Raises ValueError: there are not as many of each, or none."""
    return spread([one / other for one, other in zip(a, b, strict=True)])


def twins(*runs: Sequence[float]) -> float:
    """Return the A/A ratio: the median over pairs of neighbours of the same kind, each value in one pair only.

    Every second pair is turned over, so that a drift of the machine does not look like a difference.
    """
    ratios: list[float] = []
    for values in runs:
        for index in range(0, len(values) - 1, 2):
            first, second = values[index], values[index + 1]
            ratios.append(first / second if index % 4 else second / first)
    return statistics.median(ratios) if ratios else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of all are at most. Raises ValueError: there are none."""
    if not values:
        raise ValueError("there is nothing to take a percentile of")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return b of cost = c · size^b, by least squares of the logarithms."""
    return statistics.linear_regression([math.log(x) for x in sizes], [math.log(y) for y in costs]).slope


def slope(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """Return the growth per unit of size, by least squares."""
    return statistics.linear_regression(sizes, amounts).slope


def first_clause(answer: str, step_s: float) -> tuple[int, str]:
    """Return how many tokens the model has written when the first clause is known to be complete, and the clause.

    The first token goes out at once, later ones in pieces, as the model sends them.
    """
    tokens, cutter, count = tokens_of(answer), ClauseCutter(), 0
    piece = PIECE_TOKENS if not step_s else max(1, min(PIECE_TOKENS, math.floor(PIECE_S / step_s)))
    while count < len(tokens):
        size = piece if count else 1
        clauses = cutter.feed("".join(tokens[count : count + size]))
        count = min(len(tokens), count + size)
        if clauses:
            return count, clauses[0].text
    return count, cutter.finish()[0].text


def codes_awaited(clause: str, codes_per_character: float) -> int:
    """Return how many codes of the first clause are made before its first window can be decoded."""
    count = max(1, round(codes_per_character * len(spoken_form(clause))))
    made = 0
    for index in range(count):
        made = min(count, made + CHUNK_CODES[min(index, len(CHUNK_CODES) - 1)])
        if made >= min(count, FIRST_KEEP_CODES + CONTEXT_CODES):
            break
    return made


def critical_path_s(costs: Costs, samples: int, answer: str, codes_per_character: float) -> float:
    """Return the least time from the end of a question to the first sound, by the costs alone.

    What can be done while the question is being asked is done: whole pieces of sound are encoded, and whole blocks of
    rows read. Left are the last piece, the rows since the last block, the markers of the answer's turn (and of the
    question's, where no block has gone before), the words of the first clause, its codes, and one window.
    """
    rows = math.ceil(samples / SAMPLES_PER_ROW)
    left = rows % BLOCK_ROWS if rows % BLOCK_ROWS else min(rows, BLOCK_ROWS)
    markers = MARKER_TOKENS + 1 + (MARKER_TOKENS if rows <= BLOCK_ROWS else 0)
    encode_s = costs.speech_encoder.fixed_s if samples % PIECE_SAMPLES else 0.0
    read_s = costs.llm.per_token_s * (left + markers)
    words, clause = first_clause(answer, costs.llm.fixed_s)
    codes = codes_awaited(clause, codes_per_character)
    speech = costs.speech_decoder
    return (
        encode_s
        + read_s
        + words * costs.llm.fixed_s
        + speech.fixed_s
        + codes * speech.per_token_s
        + costs.codec_decoder.fixed_s
    )
