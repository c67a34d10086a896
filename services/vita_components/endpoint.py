"""One replica of a component: whether it is well, and the streams that live on it.

An endpoint is well while its engine answers pings: through the engine, because Triton's own ready check goes on saying
yes after a model's process has died. Pings go every second, at once when somebody doubts the endpoint, and ten times a
second while it is gone, so that it is back in use within 200 ms of its return. An endpoint that is lost ends all its
streams: better a clear error, and a replay elsewhere, than waiting for what will not come.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import Counter, Gauge
from vita_runtime.errors import ComponentUnavailable, VitaError

from vita_components.failures import is_refusal, late, lost
from vita_components.taps import Tap
from vita_components.triton import (
    STALL_S,
    Deadline,
    Message,
    Reply,
    Stream,
    build_request,
    infer,
    open_channel,
    open_stream,
)

logger = logging.getLogger(__name__)

WELL = Gauge("vita_endpoint_well", "1 while the endpoint's engine answers pings.", ["component", "address"])
LOSSES = Counter("vita_endpoint_losses_total", "Times the endpoint was lost.", ["component", "address"])
IN_FLIGHT = Gauge("vita_endpoint_in_flight", "Requests and streams at the endpoint.", ["component", "address"])


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How replicas are watched and filled."""

    ping_interval_s: float = 1.0  # while it is well
    # Of a dead process Triton says so after 1.0 s; only an engine that hangs is silent, and a busy machine is slow.
    ping_deadline_s: float = 3.0
    # The same where somebody waits. An engine answers pings between two steps, so this must be longer than any step: a
    # laptop that reads 64 tokens a step may take 1 s. And it must leave a turn, which is to go on or to fail within 3 s
    # of the loss, time to ask another replica: 3 s, less this, less STALL_S and a gap before the ping.
    doubt_deadline_s: float = 1.5
    ping_gap_s: float = 0.1  # between two pings while it is not, or while somebody doubts it
    max_in_flight: int = 64  # requests and streams of one replica; beyond, callers wait
    patience_s: float = 0.25  # longest wait for a replica that is well and not full
    avoided_s: float = 5.0  # how long a replica that failed somebody comes last: a turn or two


class Endpoint:
    """One replica: its channel, its health, and the streams that live on it."""

    def __init__(self, component: str, address: str, settings: PoolSettings, changed: Callable[[], None]) -> None:
        self.component, self.address = component, address
        self.channel: grpc.aio.Channel = open_channel(address)
        self.is_well = False
        self.in_flight = self.lent_count = 0
        self._settings, self._changed = settings, changed
        self._streams: set[Stream] = set()
        self._doubted = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # done at the next loss
        self._heard_s = self._now()  # when the engine last answered anything
        self._avoided_until_s = 0.0

    @property
    def silent_s(self) -> float:
        """How long nothing has been heard of it."""
        return self._now() - self._heard_s

    @property
    def is_avoided(self) -> bool:
        """Whether it has failed somebody just now."""
        return self._now() < self._avoided_until_s

    def count(self, change: int) -> None:
        """Count requests in flight."""
        self.in_flight += change
        self.lent_count += change > 0
        IN_FLIGHT.labels(self.component, self.address).set(self.in_flight)

    def doubt(self) -> None:
        """Have the engine pinged now."""
        self._doubted.set()

    def heard(self) -> None:
        """The engine has answered something: it lives."""
        self._heard_s = self._now()

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Shun the endpoint if the block ends with its loss, and say in the error how long it had been silent."""
        try:
            yield
        except ComponentUnavailable as error:
            if not is_refusal(error) and not error.silent_s:  # else the loss is known; it may be long over
                error.silent_s = self.silent_s
                self.shun()
            raise

    def shun(self) -> None:
        """Send nothing new here until a ping has been answered, and for a while only what has nowhere else to go."""
        self._avoided_until_s = self._now() + self._settings.avoided_s
        self._set_well(is_well=False)
        self.doubt()

    async def watch(self) -> None:
        """Ping for ever."""
        while True:
            is_doubted = self._doubted.is_set()
            self._doubted.clear()
            error = await self._ping(is_doubted=is_doubted)
            if error is None:
                self._set_well(is_well=True)
            else:
                self._lose(error)
            await asyncio.sleep(self._settings.ping_gap_s)
            if self.is_well:
                await self._wait_for_doubt(self._settings.ping_interval_s - self._settings.ping_gap_s)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Stream]:
        """Open a stream that ends with an error when the endpoint is lost."""
        async with open_stream(
            self.channel, self.component, self.doubt, heard=self.heard, address=self.address
        ) as stream:
            self._streams.add(stream)
            try:
                yield stream
            finally:
                self._streams.discard(stream)

    async def infer(self, request: Message, *, deadline_s: float) -> Reply:
        """Ask for one reply. Raises VitaError as triton.infer does, and when the endpoint is lost meanwhile."""
        tap = Tap(self.component, self.address)
        tap.request(request)
        asking = asyncio.ensure_future(infer(self.channel, request, deadline_s=deadline_s, tap=tap))
        loss = self._loss
        try:
            while asking not in (await asyncio.wait({asking, loss}, timeout=STALL_S, return_when=FIRST_COMPLETED))[0]:
                if loss.done():
                    raise lost(self.component)
                self.doubt()
            reply = asking.result()
            self.heard()
            return reply
        except VitaError as error:
            tap.failed(error)
            raise
        finally:
            asking.cancel()
            tap.close()

    async def _wait_for_doubt(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._doubted.wait()
        except TimeoutError:
            return

    async def _ping(self, *, is_doubted: bool) -> VitaError | None:
        """Ask the engine for a sign of life; return what is wrong. Whatever else it answers meanwhile is one, too."""
        settings, asked_s = self._settings, self._now()
        asking = asyncio.ensure_future(self._ask_for_life())
        try:
            while not asking.done():
                is_doubted = is_doubted or self._doubted.is_set()
                patience_s = settings.doubt_deadline_s if is_doubted else settings.ping_deadline_s
                left_s = max(asked_s, self._heard_s) + patience_s - self._now()
                if left_s <= 0:
                    return late(self.component)
                await asyncio.wait({asking}, timeout=min(left_s, settings.ping_gap_s))
            return asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask_for_life(self) -> VitaError | None:
        request = build_request(self.component, parameters={"op": "ping"})
        # A lost endpoint is waited for, to be found the moment it listens; a well one must be there.
        try:
            async with open_stream(self.channel, self.component, lambda: None, is_waiting=not self.is_well) as stream:
                await stream.send(request)
                if await stream.receive(Deadline()) is None:
                    return ComponentUnavailable(f"{self.component} ended the ping", component=self.component)
        except VitaError as error:
            return error
        self.heard()
        return None

    def _lose(self, error: VitaError) -> None:
        if self.is_well:
            self._avoided_until_s = self._now() + self._settings.avoided_s
        self._set_well(is_well=False)
        loss = lost(self.component)
        loss.__cause__, loss.silent_s = error, self.silent_s
        self._loss.set_result(None)
        self._loss = asyncio.get_running_loop().create_future()
        for stream in list(self._streams):
            stream.lose(loss)

    def _set_well(self, *, is_well: bool) -> None:
        if is_well != self.is_well:
            self.is_well = is_well
            facts = {"component": self.component, "address": self.address}
            logger.info("endpoint is well" if is_well else "endpoint is lost", extra=facts)
            WELL.labels(self.component, self.address).set(is_well)
            if not is_well:
                LOSSES.labels(self.component, self.address).inc()
            self._changed()
