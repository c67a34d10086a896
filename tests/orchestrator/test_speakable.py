"""The clause cutter."""

from __future__ import annotations

import pytest
from vita_orchestrator.speakable import FIRST_LIMIT_CHARS, LIMIT_CHARS, ClauseCutter, weight

pytestmark = pytest.mark.unit


def clauses(text: str, size: int = 3) -> list[str]:
    cutter = ClauseCutter()
    cut = [clause for start in range(0, len(text), size) for clause in cutter.feed(text[start : start + size])]
    return [clause.text for clause in cut + cutter.finish()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is red. It is big!", ["It is red.", "It is big!"]),
        ("No. There is none.", ["No.", "There is none."]),
        ("Well then, it is a circle, and it is red.", ["Well then,", "it is a circle, and it is red."]),
        ("Pi is 3.14 and 1,000 is more.", ["Pi is 3.14 and 1,000 is more."]),
        ("Meet at 3:30. Then go.", ["Meet at 3:30.", "Then go."]),
        ("Dr. Smith and Mr. J. Brown, e.g., agree.", ["Dr. Smith and Mr. J. Brown,", "e.g., agree."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("What?! Really...", ["What?!", "Really..."]),
        ("1. Open the lid. 2. Close it.", ["1. Open the lid.", "2. Close it."]),
        ("你好，我看到一个红色的圆形。它很大！", ["你好，", "我看到一个红色的圆形。", "它很大！"]),
        ("我看到圆形，它是红色的。对吗？", ["我看到圆形，", "它是红色的。", "对吗？"]),
        ("One\nTwo", ["One", "Two"]),
        ("...", []),
        ("", []),
        ("😀 Hello", ["😀 Hello"]),
    ],
)
def test_clauses_end_where_a_speaker_would_pause(text: str, expected: list[str]) -> None:
    got = clauses(text, size=len(text) or 1)
    assert got == expected


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_no_word_is_lost_or_said_twice_however_the_text_comes(size: int) -> None:
    text = "Well, Mr. Smith paid 3.14 dollars. 你好，世界。Was it so? " + "word " * 60 + "End"
    assert "".join("".join(clauses(text, size)).split()) == "".join(text.split())


def test_a_clause_knows_where_it_ends_in_the_answer() -> None:
    text = "It is red. It is big. And round"
    cutter = ClauseCutter()
    cut = cutter.feed(text) + cutter.finish()
    assert [text[: clause.end].strip().endswith(clause.text) for clause in cut] == [True] * 3
    assert cut[-1].end == len(text)


def test_the_first_clause_is_short_and_none_is_endless() -> None:
    cut = clauses("word " * 200)
    assert weight(cut[0]) <= FIRST_LIMIT_CHARS
    assert all(weight(clause) <= LIMIT_CHARS for clause in cut)


def test_a_full_stop_waits_for_what_follows_but_a_chinese_one_does_not() -> None:
    assert ClauseCutter().feed("It costs 3.") == []
    assert [clause.text for clause in ClauseCutter().feed("好的。")] == ["好的。"]
