"""Numbers as they are spoken."""

from __future__ import annotations

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty"}
LARGEST = 20  # that the assistant counts to and calculates with
NUMBERS = (*_ONES, "twenty")


def spoken(number: int) -> str:
    """Say a number, 0-59: "forty two"."""
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10 * 10] + (f" {_ONES[number % 10]}" if number % 10 else "")


def spoken_time(hour: int, minute: int) -> str:
    """Say a time as the orchestrator reads "14:05" aloud: "fourteen oh five"."""
    if minute == 0:
        return f"{spoken(hour)} o'clock"
    return f"{spoken(hour)} {'oh ' if minute < 10 else ''}{spoken(minute)}"
