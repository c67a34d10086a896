"""Numbers as words, in English and Chinese.

Two small grammars of our own: num2words is LGPL and hangs on an unmaintained dependency, cn2an knows only Chinese and
brings a text-processing stack along.
"""

from __future__ import annotations

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_HAN_DIGITS = "零一二三四五六七八九"
_HAN_PLACES = ("", "十", "百", "千")
_HAN_SCALES = ((10**8, "亿"), (10**4, "万"))
LARGEST = 10**15  # beyond, digits are read one by one


def english_cardinal(number: int) -> str:
    """Return e.g. "one thousand two hundred and five"; 0 ≤ number < 10^15."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f" {_ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" and {english_cardinal(rest)}" if rest else "")
    scale, name = next(pair for pair in _SCALES if number >= pair[0])
    head, rest = divmod(number, scale)
    joint = " and " if 0 < rest < 100 else " "
    return f"{english_cardinal(head)} {name}" + (f"{joint}{english_cardinal(rest)}" if rest else "")


def english_ordinal(number: int) -> str:
    """Return e.g. "twenty first"."""
    words = english_cardinal(number).split(" ")
    last = words[-1]
    if last in _IRREGULAR:
        words[-1] = _IRREGULAR[last]
    else:
        words[-1] = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join(words)


def english_year(year: int) -> str:
    """Return the usual reading of a year from 1100 to 2099: "nineteen oh five", "two thousand and five"."""
    century, rest = divmod(year, 100)
    if year % 1000 < 10:
        return english_cardinal(year)
    if rest == 0:
        return f"{english_cardinal(century)} hundred"
    return f"{english_cardinal(century)} {'oh ' if rest < 10 else ''}{english_cardinal(rest)}"


def english_digits(digits: str) -> str:
    """Return the digits one by one."""
    return " ".join(_ONES[int(digit)] for digit in digits)


def chinese_cardinal(number: int) -> str:
    """Return e.g. 一千零五; 0 ≤ number < 10^15; ten to nineteen are 十 to 十九."""
    if number < 10:
        return _HAN_DIGITS[number]
    words = _chinese_group(number)
    return words[1:] if 10 <= number < 20 else words


def _chinese_group(number: int) -> str:
    for scale, name in _HAN_SCALES:
        if number >= scale:
            head, rest = divmod(number, scale)
            gap = "零" if 0 < rest < scale // 10 else ""
            return chinese_cardinal(head) + name + gap + (_chinese_group(rest) if rest else "")
    words, is_gap = "", False
    for place in range(len(str(number)) - 1, -1, -1):
        digit = number // 10**place % 10
        if digit == 0:
            is_gap = True
            continue
        words += ("零" if is_gap and words else "") + _HAN_DIGITS[digit] + _HAN_PLACES[place]
        is_gap = False
    return words


def chinese_digits(digits: str) -> str:
    """Return the digits one by one."""
    return "".join(_HAN_DIGITS[int(digit)] for digit in digits)
