"""What the bench calculates from what it measures."""

from __future__ import annotations

import math

import pytest
from vita_evaluation.plumbing.answers import CODES_PER_CHARACTER, EIGHT_SECONDS
from vita_evaluation.plumbing.arithmetic import (
    codes_awaited,
    critical_path_s,
    exponent,
    first_clause,
    paired,
    percentile,
    slope,
    spread,
    twins,
)
from vita_evaluation.plumbing.barge import longest_stall_s, split
from vita_evaluation.plumbing.frames import FRAME_BYTES, FRAMES_PER_PIECE, delays_ms, stamped
from vita_evaluation.plumbing.servers import ASKED, CLOSED, ENDED
from vita_orchestrator.hearing import BLOCK_ROWS
from vita_replay.modelled.context import tokens_of
from vita_replay.modelled.costs import REALISTIC, ZERO

pytestmark = pytest.mark.unit

SECOND = 16_000


def test_ratios_are_taken_pair_by_pair_and_their_quartiles_given() -> None:
    found = paired([2, 40, 6, 9, 10], [1, 10, 2, 3, 5])
    assert (found.median, found.low, found.high) == (3, 2, 3)
    assert spread([5.0]).low == spread([5.0]).high == 5.0


def test_unequal_or_missing_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired([1, 2], [1])
    with pytest.raises(ValueError, match="nothing"):
        spread([])
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_twins_of_a_steady_machine_are_one_and_drift_does_not_show() -> None:
    assert twins([5.0] * 8) == 1.0
    drifting = [1.1**index for index in range(40)]
    assert twins(drifting) == pytest.approx(1.0, abs=0.11), "half of the pairs are turned over"
    assert twins([1.0, 2.0] * 4, [1.0, 2.0] * 4) != 1.0
    assert math.isnan(twins([1.0]))


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([3.0], 0.99) == 3.0


def test_exponent_and_slope_of_known_laws() -> None:
    sizes = [20.0, 50.0, 100.0, 200.0]
    assert exponent(sizes, [0.3 * size**0.63 for size in sizes]) == pytest.approx(0.63)
    assert slope(sizes, [7 + 2.5 * size for size in sizes]) == pytest.approx(2.5)


def test_the_first_clause_is_known_after_its_fourth_word_if_words_come_one_by_one() -> None:
    assert first_clause(EIGHT_SECONDS, 0.033) == (4, "It is red,")
    assert first_clause(EIGHT_SECONDS, 0.0033) == (5, "It is red,"), "the first word, then four at once"
    assert first_clause("Yes.", 0.033) == (1, "Yes."), "the end of the answer tells"
    assert len(tokens_of(EIGHT_SECONDS)) == 31
    assert len(EIGHT_SECONDS) * CODES_PER_CHARACTER / 40 == pytest.approx(8.1)


@pytest.mark.parametrize(("clause", "codes"), [("It is red,", 30), ("Yes", 9), ("It is a long first clause,", 30)])
def test_the_first_window_waits_for_twenty_codes_or_the_clause(clause: str, codes: int) -> None:
    assert codes_awaited(clause, CODES_PER_CHARACTER) == codes


def test_the_critical_path_is_the_sum_of_what_cannot_be_done_before() -> None:
    costs = REALISTIC.scaled(10)
    # The rest of a piece, 13 rows and 7 markers, four steps, a clause's start, 30 codes, one window.
    expected_s = 1.6e-3 + 20 * 0.17e-3 + 4 * 33e-3 + 0.3e-3 + 30 * 0.3e-3 + 4e-3
    assert critical_path_s(costs, SECOND, EIGHT_SECONDS, CODES_PER_CHARACTER) == pytest.approx(expected_s)
    assert critical_path_s(ZERO, SECOND, EIGHT_SECONDS, CODES_PER_CHARACTER) == 0


def test_a_long_question_adds_only_the_rows_since_the_last_block() -> None:
    costs = REALISTIC
    short, long = (critical_path_s(costs, s * SECOND, EIGHT_SECONDS, CODES_PER_CHARACTER) for s in (1, 30))
    assert long - short == pytest.approx((375 % BLOCK_ROWS - 13 - 3) * costs.llm.per_token_s)


def test_a_frame_says_when_it_was_sent_and_only_a_pieces_last_one_counts() -> None:
    ms = 1_000_000
    piece = b"".join(stamped(number * 40 * ms) for number in range(FRAMES_PER_PIECE))
    assert len(piece) == FRAMES_PER_PIECE * FRAME_BYTES
    assert delays_ms(piece, 125 * ms) == [5.0]
    assert delays_ms(piece + piece, 130 * ms) == [10.0, 10.0], "two pieces at once, after a stall"
    assert delays_ms(piece[:FRAME_BYTES], 125 * ms) == []


def test_codes_count_as_wasted_from_the_event_on() -> None:
    made = [(1, 0.0, ASKED), (1, 1.0, 10), (1, 2.0, 20), (1, 2.0, ENDED), (1, 9.0, CLOSED)]
    assert split(made, 1.5, 0.1) == (10, 20)
    assert split(made, 3.0, 0.1) == (30, 0), "its codes were all made: what was left open did no work"


def test_a_clause_cut_while_at_work_counts_with_what_it_had_done_of_a_chunk() -> None:
    made = [(1, 0.0, ASKED), (1, 1.0, 10), (1, 2.5, CLOSED), (2, 0.0, CLOSED)]
    before, after = split(made, 2.0, 0.1)
    assert (before, after) == (10, pytest.approx(5)), "half a second at a tenth of a second a code"


def test_the_longest_stall_is_the_highest_bucket_that_grew() -> None:
    before = {0.001: 5.0, 0.01: 6.0, 0.1: 7.0, math.inf: 7.0}
    after = {0.001: 25.0, 0.01: 28.0, 0.1: 29.0, math.inf: 29.0}
    assert longest_stall_s(before, after) == 0.01
    assert longest_stall_s(after, after) == 0.0
