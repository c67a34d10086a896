"""Written text as it is read aloud."""

from __future__ import annotations

import pytest
from vita_orchestrator.number_words import chinese_cardinal, english_cardinal, english_ordinal, english_year
from vita_orchestrator.spoken_form import spoken_form

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It is a red circle.", "it is a red circle."),
        ("Pi is 3.14!", "pi is three point one four!"),
        (
            "It costs $3.50, or 45% of 1,000.",
            "it costs three dollars and fifty cents, or forty five percent of one thousand.",
        ),
        ("$1 and £20", "one dollar and twenty pounds"),
        ("I ran 5 km in 25 min.", "i ran five kilometers in twenty five minutes."),
        ("1 km at -5°C", "one kilometer at minus five degrees celsius"),
        ("Meet at 3:30 or 10:00 or 9:05", "meet at three thirty or ten o'clock or nine oh five"),
        ("the 1st and 22nd", "the first and twenty second"),
        ("in 1999 and since 2005", "in nineteen ninety nine and since two thousand and five"),
        ("on 2026-11-22", "on november twenty second twenty twenty six"),
        ("3-5 = 2", "three to five equals two"),
        ("2 * 3 + 4", "two times three plus four"),
        ("call 5551234567", "call five five five one two three four five six seven"),
        ("Dr. Smith & Mr. Brown, e.g. today", "doctor smith and mister brown, for example today"),
        ("**Bold** and [a link](http://x.y)", "bold and a link"),
        ("# Title", "title"),
        ("- one", "one"),
        ("Hello 😀!", "hello!"),
        ("Don’t", "don't"),
        ("☞Yes", "yes"),
        ("---", ""),
        ("😀", ""),
        ("在2026年，温度是25°C，约50%。", "在二零二六年，温度是二十五摄氏度，约百分之五十。"),
        ("共有10086个，1/2，12:05", "共有一万零八十六个，二分之一，十二点零五分"),
        ("我有3个苹果和-5度", "我有三个苹果和负五度"),
        ("￥3.5", "three point five yuan"),
        ("价格是￥3.5", "价格是三点五元"),
    ],
)
def test_it_is_said_as_a_speaker_would(written: str, spoken: str) -> None:
    assert spoken_form(written) == spoken


def test_what_is_spoken_already_stays_as_it_is() -> None:
    for text in ("it is a red circle.", "yes, i do.", "你好，我看到一个圆形。", "what's that?"):
        assert spoken_form(text) == text
        assert spoken_form(spoken_form(text)) == text


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (21, "twenty one"),
        (105, "one hundred and five"),
        (1005, "one thousand and five"),
        (1_000_000, "one million"),
        (12_345, "twelve thousand three hundred and forty five"),
    ],
)
def test_english_cardinals(number: int, words: str) -> None:
    assert english_cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        *((0, "零"), (10, "十"), (15, "十五"), (20, "二十"), (105, "一百零五")),
        *((110, "一百一十"), (1005, "一千零五"), (10_010, "一万零一十"), (100_000_000, "一亿")),
    ],
)
def test_chinese_cardinals(number: int, words: str) -> None:
    assert chinese_cardinal(number) == words


def test_ordinals_and_years() -> None:
    assert [english_ordinal(number) for number in (1, 12, 20, 101)] == [
        "first",
        "twelfth",
        "twentieth",
        "one hundred and first",
    ]
    assert [english_year(year) for year in (1905, 1900, 2000, 2026)] == [
        "nineteen oh five",
        "nineteen hundred",
        "two thousand",
        "twenty twenty six",
    ]


def test_no_digit_and_no_symbol_is_left_to_the_speech_decoder() -> None:
    text = "a1b2 c3 $4 €5.60 7% 8:09 1,234,567.89 #10 3/4 -2 x² 100km/h <5 >6 a_b @home ~7 0123"
    assert not any(character.isdigit() or character in "$€%#/<>@~_²" for character in spoken_form(text))
