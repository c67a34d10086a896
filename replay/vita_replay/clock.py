"""An event loop whose time runs faster: everything that waits waits less, all by the same factor.

So a replay at speed 2 needs no knowledge of it anywhere: microphone, playback, deadlines and recorded components keep
their proportions. What computes takes as long as ever.
"""

from __future__ import annotations

import asyncio
import selectors


class _FasterSelector(selectors.DefaultSelector):
    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self._speed)


class FasterLoop(asyncio.SelectorEventLoop):
    """The loop; its seconds are `1 / speed` of a second long."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        super().__init__(_FasterSelector(speed))

    def time(self) -> float:
        """Return the loop's time."""
        return super().time() * self._speed
