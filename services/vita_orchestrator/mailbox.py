"""One task that handles everything that happens, in order, and the work that runs beside it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine

from vita_orchestrator.channel import together

Happening = Callable[[], Awaitable[None]]


class Mailbox:
    """What has happened and waits to be handled. Requests are bounded by their sender; of our own there are few."""

    def __init__(self) -> None:
        self._happenings: deque[Happening] = deque()
        self._happened = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything has been handled."""
        return not self._happenings

    def post(self, happening: Happening) -> None:
        """Have something handled in its turn."""
        self._happenings.append(happening)
        self._happened.set()

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Have work done beside; it ends with the mailbox, and its failure ends the mailbox."""
        assert self._group is not None, "work begins with handle()"
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def handle(self, *work: Coroutine[object, object, None], is_over: Callable[[], bool]) -> None:
        """Handle what happens until it is over, with `work` beside."""
        async with together() as self._group:
            for coroutine in work:
                self.spawn(coroutine)
            while not (self.is_empty and is_over()):
                await self._happened.wait()
                if self._happenings:
                    await self._happenings[0]()
                    self._happenings.popleft()  # only now: what is being handled has not been handled
                if not self._happenings:
                    self._happened.clear()
            for task in list(self._tasks):
                task.cancel()
