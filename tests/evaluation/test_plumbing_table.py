"""What the bench found, for people and for programs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from vita_evaluation.plumbing.arithmetic import Spread
from vita_evaluation.plumbing.picture import draw, share
from vita_evaluation.plumbing.table import (
    END,
    START,
    Row,
    Target,
    for_markdown,
    for_programs,
    for_terminal,
    number,
    write_between_markers,
)
from vita_runtime.errors import StartupError

pytestmark = pytest.mark.unit

MET = Row("1", "overhead", Spread(1.02, 1.01, 1.04), Target(1.05), "x1", "22 ms", "21 ms", 1.001)
MISSED = Row("3", "gain", Spread(7.5, 7.0, 8.0), Target(8, is_least=True), "x10", note="words come in fours")
VOID = Row("2", "hop tax", Spread(1.1, 1.0, 1.2), Target(1.3), "zero", twin=1.04)


def test_a_target_may_be_a_most_or_a_least() -> None:
    assert (MET.verdict, MISSED.verdict) == ("met", "MISSED")
    assert Target(0.6, is_least=True).is_met(0.7)
    assert not Target(0.6).is_met(0.7)
    assert Row("4", "told only", Spread(9, 9, 9)).verdict == ""


def test_what_differs_from_its_twin_by_more_than_three_hundredths_is_void() -> None:
    assert VOID.verdict == "void"
    assert not Row("2", "no twin", Spread(1, 1, 1), twin=math.nan).is_void


def test_the_table_has_a_line_a_row_and_each_note_once() -> None:
    text = for_terminal([MET, MISSED, Row("4", "other", Spread(1, 1, 1), note="words come in fours")])
    assert "1.020  1.010 … 1.040  ≤ 1.05  met" in text
    assert text.count("words come in fours") == 1
    assert "3, 4: words come in fours" in text


def test_markdown_stands_between_its_markers_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    write_between_markers(page, for_markdown([MET, VOID]))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| 1 | overhead | x1 | **1.020** |" in text
    assert "| void |" in text


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here")
    with pytest.raises(StartupError, match="lacks"):
        write_between_markers(page, "table")
    assert page.read_text() == "nothing here"


def test_programs_get_plain_json_in_which_what_is_no_number_is_null() -> None:
    found = json.loads(json.dumps(for_programs([MISSED], {"seconds": 3}), allow_nan=False))
    (row,) = found["rows"]
    assert (found["seconds"], row["twin"], row["verdict"], row["target"]["bound"]) == (3, None, "MISSED", 8)


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.00412, "0.0041"), (1.0345, "1.034"), (8.717, "8.72")])
def test_numbers_have_the_digits_they_deserve(value: float, text: str) -> None:
    assert number(value) == text


def test_the_picture_shows_targets_as_one_whichever_way_they_count(tmp_path: Path) -> None:
    assert share(MISSED) == pytest.approx(8 / 7.5)
    assert share(MET) == pytest.approx(1.02 / 1.05)
    pytest.importorskip("matplotlib")
    draw([MET, MISSED, VOID, Row("13", "none", Spread(0, 0, 0), Target(0))], tmp_path / "picture.svg")
    assert "<svg" in (tmp_path / "picture.svg").read_text()
