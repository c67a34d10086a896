"""Answers are compared by what they say."""

from __future__ import annotations

import pytest
from vita_evaluation.content import content, says_the_same

pytestmark = pytest.mark.unit


def test_answers_are_compared_by_their_words() -> None:
    assert says_the_same("Yes, there is a star.", "yes there is a star")
    assert not says_the_same("There is one star.", "There is one circle.")


def test_a_number_says_the_same_in_digits_and_in_words() -> None:
    assert says_the_same("It is 14:05.", "it is fourteen oh five")
    assert not says_the_same("It is 14:05.", "It is 15:05.")


def test_nothing_says_nothing() -> None:
    assert content("") == ()
    assert not says_the_same("It is red.", "")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("The star is red.", "The star is not red."),
        ("The star is red.", "The star is red and blue."),
        ("The star is red.", "The star is"),
        ("The star is red.", "The star is red. The star is red."),
        ("The star is red.", "The red is star."),
        ("The star is red.", "The star is red 红"),
        ("The star is red.", "The star is redé."),
        ("The star is red.", "<tool_call> The star is red."),
        ("Yes, there is a star.", "There is a star."),
        ("I see a red star and a blue circle.", "I see a blue star and a red circle."),
        ("There are two stars.", "There are 3 stars."),
        ("Two minus one is one.", "Two minus one is -1."),
        ("It is 14:05.", "It is 14:50."),
        ("It is 14:05.", "It is 1405."),
        ("One, two, three.", "One, two, three, four."),
        ("One, two, three.", "123."),
    ],
)
def test_a_wrong_answer_with_the_right_words_in_it_is_wrong(right: str, wrong: str) -> None:
    assert not says_the_same(right, wrong)


@pytest.mark.parametrize(
    ("right", "same"),
    [
        ("No, there is no star.", "No there is no star"),
        ("One, two, three.", "1, 2, 3."),
        ("It is 09:30.", "It is 9:30."),
        ("It is 10:00.", "It is ten o'clock."),
        ("Your name is Anna.", "your name is anna!"),
    ],
)
def test_how_a_right_answer_is_written_does_not_matter(right: str, same: str) -> None:
    assert says_the_same(right, same)
