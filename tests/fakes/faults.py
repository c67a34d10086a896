"""What goes wrong in a fake, a log of the work it did, and streams that work whether or not they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from vita_runtime.errors import ComponentUnavailable, VitaError

T = TypeVar("T")


def lost(component: str = "component") -> VitaError:
    """The error a lost replica raises."""
    return ComponentUnavailable(f"{component} was lost", component=component)


@dataclass(frozen=True, slots=True)
class Fault:
    """One call that goes wrong."""

    operation: str  # the method's name: "encode", "push", "generate", "speak", "decode", "append_text", …
    at_call: int = 0  # which call of that method, from 0, over the life of the fake
    after_outputs: int = 0  # outputs given before it goes wrong (streams only)
    error: VitaError | None = None  # raised; with neither error nor delay the call hangs for ever
    delay_s: float = 0.0  # only slow, then goes on


@dataclass(frozen=True, slots=True)
class Work:
    """One unit of work: a tile, an embedding, a token, a code chunk, a window."""

    time_s: float  # of the event loop
    component: str
    operation: str
    generation: int  # which stream of that component, from 0


@dataclass(slots=True)
class Bench:
    """Counts and spoils the calls of fakes that share it."""

    faults: list[Fault] = field(default_factory=list[Fault])
    work: list[Work] = field(default_factory=list[Work])
    calls: dict[str, int] = field(default_factory=dict[str, int])  # by "component.operation"
    live: int = 0  # streams and contexts that hold something

    def begin(self, component: str, operation: str) -> int:
        """Count a call; return its number, from 0."""
        key = f"{component}.{operation}"
        number = self.calls.get(key, 0)
        self.calls[key] = number + 1
        return number

    async def spoil(self, component: str, operation: str, call: int, outputs: int = 0) -> None:
        """Do what the faults say about this call at this point: raise, hang, be slow, or nothing.

        `operation` of a fault may also be "component.operation", where one name is not enough.
        """
        for fault in self.faults:
            if fault.operation not in (operation, f"{component}.{operation}"):
                continue
            if (fault.at_call, fault.after_outputs) != (call, outputs):
                continue
            if fault.error is not None:
                raise fault.error
            if fault.delay_s:
                await asyncio.sleep(fault.delay_s)
            else:
                await asyncio.Event().wait()

    def did(self, component: str, operation: str, generation: int) -> None:
        """Note a unit of work."""
        self.work.append(Work(asyncio.get_running_loop().time(), component, operation, generation))

    def work_after(self, time_s: float, component: str | None = None) -> list[Work]:
        """Work done after a time: what barge-in must keep empty."""
        return [w for w in self.work if w.time_s > time_s and component in (None, w.component)]


async def paced(produce: Callable[[asyncio.Queue[T | None]], Awaitable[None]]) -> AsyncGenerator[T]:
    """Yield what `produce` puts, which goes on at its own pace until the reader leaves; None ends the stream."""
    queue: asyncio.Queue[T | None] = asyncio.Queue()

    async def run() -> None:
        try:
            await produce(queue)
        finally:
            queue.put_nowait(None)

    task = asyncio.ensure_future(run())
    try:
        while (item := await queue.get()) is not None:
            yield item
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
