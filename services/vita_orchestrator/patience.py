"""How long a turn waits for a component that is lost, and how its streams go on afterwards.

A component lost during a turn is asked again until 2.8 s after the loss, or after the question if it was lost before;
then the turn fails, within the 3 s that are promised. Lost it is since it was last heard of, because of an engine that
hangs the loss is noticed only by its silence. A component that was known to be lost when the turn began is
given 10 s: it is being restarted, and a pause is better than another error. What is lost before anybody asks, the
endpoints' own health says, since it is looked after all the time; what is lost meanwhile shows when it is used.
Results are deterministic, so a stream asked for again gives the same items, and those already had are skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar, cast

from vita_runtime.errors import ComponentDeadline, ComponentUnavailable, VitaError

T = TypeVar("T")
Clock = Callable[[], float]

LOSS_PATIENCE_S = 2.8
OUTAGE_PATIENCE_S = 10.0
RETRY_S = 0.1  # as often as the endpoint pool looks for new connections
MAX_LOSSES = 5  # of components in one turn: a request that kills whoever takes it must not go round for ever
LOST = (ComponentUnavailable, ComponentDeadline)


@dataclass(frozen=True, slots=True)
class Outages:
    """Which components are lost, and what time it is; shared by all sessions of a process."""

    now: Clock
    unready: Callable[[], Iterable[str]] = tuple  # names of components that their endpoints' health says are lost
    silent_s: Callable[[str], float] = lambda _: 0.0  # how long nothing has been heard of a component that is lost


class Losses:
    """What is lost in one turn, and since when."""

    def __init__(self, outages: Outages) -> None:
        self._outages = outages
        self._since: dict[str, float] = {}
        self._known = set(outages.unready())  # when the turn began
        self.asked_s: float | None = None  # when the listener began to wait; None: not yet

    def look(self) -> None:
        """Note what is lost by now, although nobody has used it."""
        for component in self._outages.unready():
            self.begin(component, self._outages.silent_s(component))

    def is_known(self, component: str) -> bool:
        """Whether the component was lost when the turn began, and has not worked since."""
        return component in self._known

    def begin(self, component: str, silent_s: float = 0.0) -> float:
        """Note a loss, and that the component had been silent before; return since when it is lost in this turn."""
        return self._since.setdefault(component, self._outages.now() - silent_s)

    def end(self, component: str) -> None:
        """The component works; should it be lost again, that is news."""
        self._since.pop(component, None)
        self._known.discard(component)


class Patience:
    """The patience of one piece of a turn's work with lost components."""

    def __init__(self, outages: Outages, losses: Losses | None = None) -> None:
        self.now = outages.now
        self._losses = losses or Losses(outages)
        self._losses.look()
        # What an answer comes to late, such as a picture for a new context, has no more time than the answer itself.
        self._started_s = self.now() if self._losses.asked_s is None else self._losses.asked_s
        self._loss_count = 0
        self._last_deadline_s = 0.0

    def deadline_s(self, error: VitaError) -> float:
        """Return until when the lost component is worth waiting for."""
        component = component_of(error)
        silent_s = error.silent_s if isinstance(error, ComponentUnavailable) else 0.0
        since = self._losses.begin(component, silent_s)
        if self._losses.is_known(component):
            return self._started_s + OUTAGE_PATIENCE_S
        return max(since, self._started_s) + LOSS_PATIENCE_S

    def restart(self) -> None:
        """Count from now: the listener has not waited before."""
        self._started_s = self.now()

    async def after(self, error: VitaError) -> float:
        """Wait a moment before asking again; return the time at which to give up, or raise the error now."""
        deadline_s = self.deadline_s(error)
        self._loss_count += deadline_s != self._last_deadline_s
        self._last_deadline_s = deadline_s
        if self.now() + RETRY_S > deadline_s or self._loss_count > MAX_LOSSES:
            raise error
        await asyncio.sleep(RETRY_S)
        return deadline_s

    def worked(self, component: str) -> None:
        """The component answered."""
        self._losses.end(component)

    async def call(self, component: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until an answer comes or patience ends."""
        deadline_s, error = None, None
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    result = await ask()
                self.worked(component)
                return result
            except LOST as lost:
                error = lost
            except TimeoutError:
                if error is None:
                    raise
                raise error from None
            deadline_s = await self.after(error)

    async def stream(
        self, component: str, ask: Callable[[], AsyncIterator[T]], size: Callable[[T], int]
    ) -> AsyncGenerator[tuple[T, int]]:
        """Yield what the stream gives, asking again when it is lost.

        Yields:
            An item, and how much of it (in units of `size`) was had before the loss and is to be skipped.
        """
        had = 0
        deadline_s, error = None, None
        while True:
            seen = 0
            try:
                async with aclosing(cast("AsyncGenerator[T]", ask())) as items:
                    while True:
                        async with asyncio.timeout_at(deadline_s):
                            item = await anext(items, None)
                        if item is None:
                            return
                        deadline_s = None
                        self.worked(component)
                        end = seen + size(item)
                        if end > had or size(item) == 0:
                            skipped = max(0, had - seen)
                            had = max(had, end)
                            yield item, skipped
                        seen = end
            except LOST as lost:
                error = lost
            except TimeoutError:
                if error is None:
                    raise
                raise error from None
            deadline_s = await self.after(error)


class Haste(Patience):
    """No patience: what is done ahead of a question is done again when it is asked."""

    def deadline_s(self, error: VitaError) -> float:
        """See Patience."""
        return self.now()


def component_of(error: VitaError) -> str:
    """The component an error names."""
    return error.metadata.get("component", "component")
