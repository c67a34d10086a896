"""Codec tokens to windows: what is decoded together, and how much of it is kept. Pure.

The codec needs neighbours on both sides to decode a token well. A window therefore carries up to `context` codes
before and after those that are kept, clipped at the clause's edges; kept spans tile the clause without gap or overlap,
so the joined sound equals decoding the clause at once. The first window is small, since the listener waits for it:
with 10 kept and 10 to look ahead, sound starts at the clause's 20th code. Later windows double, for fewer calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

FIRST_KEEP_CODES = 10  # 250 ms: longer than one round trip through both decoders
LATER_KEEP_CODES = 20  # 500 ms
LARGEST_KEEP_CODES = 40  # 1 s: twice the context, so that at most half of a window's work is thrown away


@dataclass(frozen=True, slots=True)
class Window:
    """Codes to decode together."""

    codes: tuple[int, ...]
    keep_from: int  # codes, from the window's start
    keep_count: int  # codes


class Windows:
    """One clause's codes, chunk by chunk."""

    def __init__(self, context: int, *, is_first_clause: bool) -> None:
        self._context = context
        self._codes: list[int] = []
        self._kept = 0
        self._keep = FIRST_KEEP_CODES if is_first_clause else LATER_KEEP_CODES

    def feed(self, codes: tuple[int, ...], *, is_last: bool) -> Iterator[Window]:
        """Take more codes; yield the windows that are now decodable."""
        self._codes.extend(codes)
        while len(self._codes) - self._kept >= self._keep + self._context:
            yield self._window(self._keep)
            self._keep = min(self._keep * 2, LARGEST_KEEP_CODES)
        while is_last and self._kept < len(self._codes):
            yield self._window(min(LARGEST_KEEP_CODES, len(self._codes) - self._kept))

    def _window(self, keep: int) -> Window:
        start = max(0, self._kept - self._context)
        end = min(len(self._codes), self._kept + keep + self._context)
        window = Window(tuple(self._codes[start:end]), self._kept - start, keep)
        self._kept += keep
        return window
