"""Intervals are those of the literature, and the table says what was found, what was not, and why."""

from __future__ import annotations

import json
import math

import pytest
from vita_evaluation.quality.families import MEASURES
from vita_evaluation.quality.intervals import Interval, mean, rate, share
from vita_evaluation.quality.table import BARS, FAMILIES, Finding, for_markdown, for_programs, for_terminal, missing

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    found = share(right, count)  # Newcombe 1998, table I, method 3
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.value == right / count


def test_a_rate_weighs_by_size_and_its_interval_holds_it() -> None:
    found = rate([0, 4, 1, 0], [10, 5, 5, 20])
    assert found.value == 5 / 40
    assert found.low < found.value < found.high
    assert rate([1, 1, 1], [4, 4, 4]) == Interval(0.25, 0.25, 0.25)


def test_an_interval_shrinks_with_the_root_of_the_count() -> None:
    few, many = (mean([0.0, 1.0] * count) for count in (50, 200))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.15)
    assert few.high - few.low == pytest.approx(2 * 1.96 * 0.5 / 10, rel=0.1)


def test_of_nothing_there_is_no_share() -> None:
    with pytest.raises(ValueError, match="nothing"):
        share(0, 0)
    with pytest.raises(ValueError, match="0 amounts"):
        mean([])


def test_every_family_of_bars_has_its_measure() -> None:
    assert tuple(MEASURES) == FAMILIES
    assert len({bar.key for bar in BARS}) == len(BARS)


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (Finding("seeing.typed", Interval(0.95, 0.93, 0.97), 400), "met"),
        (Finding("seeing.typed", Interval(0.9499, 0.93, 0.97), 400), "MISSED"),
        (Finding("hearing.clean", Interval(0.05), 400), "met"),
        (Finding("hearing.clean", Interval(0.0501), 400), "MISSED"),
        (Finding("speaking.exact", Interval(0.99), 150, is_valid=False), "void"),
        (Finding("memory.whole", Interval(0.1), 300), ""),
        (Finding("codec.stoi", None, note="no encoder"), "not measured"),
        (Finding("codec.stoi", None, note="RuntimeError", has_failed=True), "FAILED"),
    ],
)
def test_the_verdict_follows_from_the_value_and_what_it_is_worth(finding: Finding, verdict: str) -> None:
    assert finding.verdict == verdict


def test_what_is_missing_of_a_family_says_why() -> None:
    found = [Finding("codec.stoi", Interval(0.9), 3)]
    left = [bar.key for bar in BARS if bar.family == "codec" and bar.key != "codec.stoi"]
    assert missing("codec", found, "killed") == [Finding(key, None, note="killed") for key in left]


def test_the_table_is_told_to_people_and_to_programs() -> None:
    findings = [
        Finding("noise.wrongly", Interval(0.01, 0.005, 0.02), 600, "alone"),
        *missing("speed", [], "no voice"),
    ]
    for text in (for_terminal(findings), for_markdown(findings)):
        assert "1.0 %" in text
        assert "0.5 % … 2.0 %" in text
        assert "speed.factor: no voice" in text
    told = json.loads(json.dumps(for_programs(findings, {"seconds": 3}), allow_nan=False))
    assert told["seconds"] == 3
    assert [(bar["key"], bar["value"], bar["low"]) for bar in told["bars"]] == [
        ("noise.wrongly", 0.01, 0.005),
        ("speed.factor", None, None),
    ]


def test_an_interval_without_ends_is_shown_without() -> None:
    finding = Finding("codec.use", Interval(0.8125), 150)
    assert "…" not in for_terminal([finding])
    assert for_programs([finding], {})["bars"][0]["low"] is None  # type: ignore[index]
    assert math.isnan(Interval(0.8).low)
