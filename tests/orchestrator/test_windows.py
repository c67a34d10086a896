"""Codec windows: streamed equals at once."""

from __future__ import annotations

import itertools
import random

import pytest
from vita_orchestrator.windows import FIRST_KEEP_CODES, LARGEST_KEEP_CODES, Window, Windows

pytestmark = pytest.mark.unit

CONTEXT = 10


def cut(count: int, sizes: list[int], *, is_first_clause: bool = True) -> list[Window]:
    codes, windows, at = tuple(range(count)), Windows(CONTEXT, is_first_clause=is_first_clause), 0
    result: list[Window] = []
    for size in itertools.chain(sizes, itertools.repeat(40)):
        chunk = codes[at : at + size]
        at += size
        result += windows.feed(chunk, is_last=at >= count)
        if at >= count:
            return result
    return result


@pytest.mark.parametrize("count", [0, 1, 9, 10, 19, 20, 21, 57, 400])
@pytest.mark.parametrize("seed", range(5))
def test_kept_codes_tile_the_clause_and_each_has_its_neighbours(count: int, seed: int) -> None:
    sizes = [random.Random(seed).randint(1, 50) for _ in range(50)]
    kept: list[int] = []
    for window in cut(count, sizes):
        inside = window.codes[window.keep_from : window.keep_from + window.keep_count]
        kept += inside
        assert window.keep_from == min(CONTEXT, inside[0])
        after = len(window.codes) - window.keep_from - window.keep_count
        assert after == min(CONTEXT, count - 1 - inside[-1])
        assert window.keep_count <= LARGEST_KEEP_CODES
    assert kept == list(range(count))


def test_the_first_window_needs_twenty_codes_only() -> None:
    windows = Windows(CONTEXT, is_first_clause=True)
    assert list(windows.feed(tuple(range(19)), is_last=False)) == []
    (first,) = windows.feed((19,), is_last=False)
    assert (first.keep_from, first.keep_count) == (0, FIRST_KEEP_CODES)


def test_windows_grow() -> None:
    assert [window.keep_count for window in cut(400, [1] * 400)][:4] == [10, 20, 40, 40]
