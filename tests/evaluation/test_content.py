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
