"""How written text is read aloud: numbers, symbols and units as words, markup and smileys dropped.

A clause that holds a Chinese character is read in Chinese, any other in English. Words come out in lower case, as the
speech decoder's training text has them (docs/model.md, 5). Rules run in order, each on what the ones before left over.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from vita_orchestrator.number_words import (
    LARGEST,
    chinese_cardinal,
    chinese_digits,
    english_cardinal,
    english_digits,
    english_ordinal,
    english_year,
)
from vita_orchestrator.speakable import is_wide

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

_LONG_NUMBER_DIGITS = 7  # a run this long without separators is a code or a telephone number
_NUMBER = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONEY = {
    "$": ("dollar", "美元"),
    "€": ("euro", "欧元"),
    "£": ("pound", "英镑"),
    "¥": ("yuan", "元"),
    "￥": ("yuan", "元"),
}
_UNITS = {  # written: English singular, English plural, Chinese
    "km/h": ("kilometer per hour", "kilometers per hour", "公里每小时"),
    "mph": ("mile per hour", "miles per hour", "英里每小时"),
    "°C": ("degree celsius", "degrees celsius", "摄氏度"),
    "°F": ("degree fahrenheit", "degrees fahrenheit", "华氏度"),
    "°": ("degree", "degrees", "度"),
    "km": ("kilometer", "kilometers", "公里"),
    "cm": ("centimeter", "centimeters", "厘米"),
    "mm": ("millimeter", "millimeters", "毫米"),
    "m": ("meter", "meters", "米"),
    "kg": ("kilogram", "kilograms", "公斤"),
    "mg": ("milligram", "milligrams", "毫克"),
    "g": ("gram", "grams", "克"),
    "ml": ("milliliter", "milliliters", "毫升"),
    "L": ("liter", "liters", "升"),
    "kHz": ("kilohertz", "kilohertz", "千赫"),
    "Hz": ("hertz", "hertz", "赫兹"),
    "GB": ("gigabyte", "gigabytes", "吉字节"),
    "MB": ("megabyte", "megabytes", "兆字节"),
    "ms": ("millisecond", "milliseconds", "毫秒"),
    "min": ("minute", "minutes", "分钟"),
    "h": ("hour", "hours", "小时"),
    "s": ("second", "seconds", "秒"),
    "lb": ("pound", "pounds", "磅"),
    "ft": ("foot", "feet", "英尺"),
    "in": ("inch", "inches", "英寸"),
    "W": ("watt", "watts", "瓦"),
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_SYMBOLS = {  # English, Chinese
    "&": ("and", "和"),
    "+": ("plus", "加"),
    "=": ("equals", "等于"),
    "<": ("less than", "小于"),
    ">": ("greater than", "大于"),
    "≤": ("at most", "小于等于"),
    "≥": ("at least", "大于等于"),
    "≠": ("is not", "不等于"),
    "≈": ("about", "约等于"),
    "@": ("at", "at"),
    "×": ("times", "乘"),
    "÷": ("divided by", "除以"),
    "±": ("plus or minus", "正负"),
    "→": ("to", "到"),
    "~": ("about", "约"),
    "%": ("percent", "百分之"),
    "√": ("root of", "根号"),
    "π": ("pi", "派"),
    "²": ("squared", "平方"),
    "³": ("cubed", "立方"),
}

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),  # links and pictures: their words
    (re.compile(r"https?://(\S+)"), r"\1"),
    (re.compile(r"^\s*(?:#{1,6}|[-*•])\s+", re.MULTILINE), ""),  # headings and bullets
    (re.compile(r"(?<!\d)(?<!\d\s)\*(?!\s?\d)|\*\*|_|`+|[☞☟☜]"), ""),
)
_ABBREVIATIONS = {
    "mr.": "mister",
    "mrs.": "missus",
    "ms.": "miss",
    "dr.": "doctor",
    "prof.": "professor",
    "e.g.": "for example",
    "i.e.": "that is",
    "etc.": "et cetera",
    "vs.": "versus",
    "approx.": "approximately",
    "no.": "number",
}
_ABBREVIATION = re.compile(
    r"\b(?:mrs?\.|ms\.|dr\.|prof\.|e\.g\.|i\.e\.|etc\.|vs\.|approx\.|no\.(?=\s?\d))", re.IGNORECASE
)
_UNSPOKEN = re.compile(r"[^\w\s.,!?;:'，。！？；：、…\-]")


def spoken_form(text: str) -> str:
    """Return what a speaker says for `text`; empty where there is nothing to say."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    rules, column = (_CHINESE, 1) if any(map(is_wide, text)) else (_ENGLISH, 0)
    for pattern, read in rules:
        text = pattern.sub(read, text)
    for symbol, words in _SYMBOLS.items():
        text = text.replace(symbol, words[column] if column else f" {words[column]} ")
    text = "".join(" " if unicodedata.category(character) == "So" else character for character in text)
    text = re.sub(r"\s+", " ", _UNSPOKEN.sub(" ", text.replace("’", "'"))).strip()
    text = re.sub(r" ([.,!?;:])", r"\1", text).lower()
    return text if any(character.isalnum() for character in text) else ""


def _english(number: str) -> str:
    """Read a number as written: separators, decimals, long codes."""
    whole, _, fraction = number.replace(",", "").partition(".")
    is_code = "," not in number and not fraction and (len(whole) >= _LONG_NUMBER_DIGITS or whole.startswith("0"))
    words = english_digits(whole) if is_code or int(whole) >= LARGEST else english_cardinal(int(whole))
    return f"{words} point {english_digits(fraction)}" if fraction else words


def _chinese(number: str) -> str:
    whole, _, fraction = number.replace(",", "").partition(".")
    is_code = "," not in number and not fraction and (len(whole) >= _LONG_NUMBER_DIGITS + 4 or whole.startswith("0"))
    words = chinese_digits(whole) if is_code or int(whole) >= LARGEST else chinese_cardinal(int(whole))
    return f"{words}点{chinese_digits(fraction)}" if fraction else words


def _english_money(match: re.Match[str]) -> str:
    name = _MONEY[match[1]][0]
    plural = name if name == "yuan" else f"{name}s"
    whole, _, cents = match[2].partition(".")
    head = f"{_english(whole)} {name if whole == '1' else plural}"
    if len(cents) == 2 and int(cents) and name != "yuan":
        return f"{head} and {english_cardinal(int(cents))} {'pence' if name == 'pound' else 'cents'}"
    return f"{_english(match[2])} {plural}" if cents and int(cents) else head


def _english_time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute == 0:
        return f"{english_cardinal(hour)} o'clock"
    return f"{english_cardinal(hour)} {'oh ' if minute < 10 else ''}{english_cardinal(minute)}"


def _english_date(match: re.Match[str]) -> str:
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    return f"{_MONTHS[month - 1]} {english_ordinal(day)} {english_year(year)}"


def _english_unit(match: re.Match[str]) -> str:
    singular, plural, _ = _UNITS[match[2]]
    return f"{_english(match[1])} {singular if match[1] == '1' else plural}"


_DATE = re.compile(r"\b(1[1-9]\d\d|20\d\d)-(0?[1-9]|1[0-2])-(0?[1-9]|[12]\d|3[01])\b")
_CLOCK = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)\b")
_NEGATIVE = r"(?:(?<=^)|(?<=[\s(（=]))[-−](?=\d)"
_ENGLISH: tuple[Rule, ...] = (
    (_ABBREVIATION, lambda m: _ABBREVIATIONS[m[0].lower()]),
    (_DATE, _english_date),
    (_CLOCK, _english_time),
    (re.compile(rf"([$€£¥￥])\s?({_NUMBER})"), _english_money),
    (re.compile(r"\b(\d+)(?:st|nd|rd|th)\b"), lambda m: english_ordinal(int(m[1][-15:]))),
    (
        re.compile(r"\b(in|since|until|from|year|by) (1[1-9]\d\d|20\d\d)\b(?![.,]\d)", re.IGNORECASE),
        lambda m: f"{m[1]} {english_year(int(m[2]))}",
    ),
    (re.compile(_NEGATIVE), lambda m: "minus "),
    (re.compile(r"(?<=\d)\s?[-–—](?=\d)"), lambda m: " to "),
    (re.compile(r"(?<=\d)\s*\*\s*(?=\d)"), lambda m: " times "),
    (re.compile(r"(?<=\d)\s*/\s*(?=\d)"), lambda m: " over "),
    (re.compile(r"#(?=\d)"), lambda m: "number "),
    (re.compile(rf"({_NUMBER})\s?({_UNIT})(?![A-Za-z/])"), _english_unit),
    (re.compile(_NUMBER), lambda m: _english(m[0])),
)
_CHINESE: tuple[Rule, ...] = (
    (_DATE, lambda m: f"{chinese_digits(m[1])}年{chinese_cardinal(int(m[2]))}月{chinese_cardinal(int(m[3]))}日"),
    (re.compile(r"(\d{4})(?=年)"), lambda m: chinese_digits(m[1])),
    (_CLOCK, lambda m: f"{chinese_cardinal(int(m[1]))}点" + (f"{_chinese_minute(int(m[2]))}分" if int(m[2]) else "")),
    (re.compile(rf"([$€£¥￥])\s?({_NUMBER})"), lambda m: _chinese(m[2]) + _MONEY[m[1]][1]),
    (re.compile(rf"({_NUMBER})\s?%"), lambda m: f"百分之{_chinese(m[1])}"),
    (re.compile(_NEGATIVE + r"|(?<=[一-鿿])[-−](?=\d)"), lambda m: "负"),
    (re.compile(r"(?<=\d)\s?[-–—~](?=\d)"), lambda m: "到"),
    (re.compile(r"(\d+)\s*/\s*(\d+)"), lambda m: f"{_chinese(m[2])}分之{_chinese(m[1])}"),
    (re.compile(r"(?<=\d)\s*\*\s*(?=\d)"), lambda m: "乘"),
    (re.compile(rf"({_NUMBER})\s?({_UNIT})(?![A-Za-z/])"), lambda m: _chinese(m[1]) + _UNITS[m[2]][2]),
    (re.compile(_NUMBER), lambda m: _chinese(m[0])),
)


def _chinese_minute(minute: int) -> str:
    return ("零" if minute < 10 else "") + chinese_cardinal(minute)
