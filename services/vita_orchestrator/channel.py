"""A bounded pipe between two stages, and a task group that raises its first error bare."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """Carries items in order; the sender waits while `bound` of them lie unread. One reader."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._items: deque[T] = deque()
        self._is_closed = False
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: T) -> None:
        """Send an item, once there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._items) < self._bound or self._is_closed)
            if not self._is_closed:
                self._items.append(item)
                self._changed.notify_all()

    async def drained(self) -> None:
        """Wait until the reader has taken everything."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._items or self._is_closed)

    async def close(self) -> None:
        """Nothing more comes: the reader ends after what lies here."""
        async with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._items) or self._is_closed)
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


async def one_ahead(source: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield what `source` gives, having it make the next item, and no more than that, while one is being used.

    The source runs in a task of its own, from its start to its end.
    """
    channel: Channel[T] = Channel(1)

    async def fill() -> None:
        try:
            async with aclosing(source):
                async for item in source:
                    await channel.put(item)
                    await channel.drained()
        finally:
            await channel.close()

    filling = asyncio.create_task(fill())
    try:
        async for item in channel:
            yield item
        await filling
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)


@asynccontextmanager
async def together() -> AsyncGenerator[asyncio.TaskGroup]:
    """A TaskGroup that raises its first failure itself, not wrapped in a group, so that callers can catch by type."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        raise first_error(group) from group


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error inside nested groups."""
    error = group.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error
