"""The replicas of one component: which are well, and which serves the next request.

An endpoint is well while its engine answers pings: through the engine, because Triton's own ready check goes on saying
yes after a model's process has died. Pings go every second, at once when somebody doubts the endpoint, and ten times a
second while it is gone, so that it is back in use within 200 ms of its return. An endpoint that is lost ends all its
streams: better a clear error, and a replay elsewhere, than waiting for what will not come.

Stateless requests go where the fewest are in flight. What holds state goes where its key says (rendezvous hashing), so
that a session finds its replica again and a lost replica scatters its sessions over the others.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import Counter, Gauge
from vita_runtime.errors import AtCapacity, ComponentUnavailable, VitaError

from vita_components.failures import is_refusal, lost
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
    ping_gap_s: float = 0.1  # between two pings while it is not, or while somebody doubts it
    max_in_flight: int = 64  # requests and streams of one replica; beyond, callers wait
    patience_s: float = 0.25  # longest wait for a replica that is well and not full


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
        self._loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # done at the next loss

    def count(self, change: int) -> None:
        """Count requests in flight."""
        self.in_flight += change
        self.lent_count += change > 0
        IN_FLIGHT.labels(self.component, self.address).set(self.in_flight)

    def doubt(self) -> None:
        """Have the engine pinged now."""
        self._doubted.set()

    def shun(self) -> None:
        """Send nothing new here until a ping has been answered."""
        self._set_well(is_well=False)
        self.doubt()

    async def watch(self) -> None:
        """Ping for ever."""
        while True:
            self._doubted.clear()
            error = await self._ping()
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
        async with open_stream(self.channel, self.component, self.doubt, address=self.address) as stream:
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
            return asking.result()
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

    async def _ping(self) -> VitaError | None:
        """Ask the engine for a sign of life; return what is wrong."""
        request = build_request(self.component, parameters={"op": "ping"})
        # A lost endpoint is waited for, to be found the moment it listens; a well one must be there.
        try:
            async with open_stream(self.channel, self.component, lambda: None, is_waiting=not self.is_well) as stream:
                deadline = Deadline(self._settings.ping_deadline_s)
                await stream.send(request)
                if await stream.receive(deadline) is None:
                    return ComponentUnavailable(f"{self.component} ended the ping", component=self.component)
        except VitaError as error:
            return error
        return None

    def _lose(self, error: VitaError) -> None:
        self._set_well(is_well=False)
        loss = lost(self.component)
        loss.__cause__ = error
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


class Pool:
    """All replicas of one component."""

    def __init__(self, component: str, addresses: Sequence[str], settings: PoolSettings | None = None) -> None:
        self.component = component
        self.settings = settings or PoolSettings()
        self._changes = asyncio.Event()  # set and replaced at each change
        self.endpoints = [Endpoint(component, address, self.settings, self._note_change) for address in addresses]

    @property
    def is_well(self) -> bool:
        """Whether any replica is."""
        return any(endpoint.is_well for endpoint in self.endpoints)

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until some replica is well. Raises ComponentUnavailable: none is."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_well:
                    await self._changes.wait()
        except TimeoutError:
            raise self._unavailable() from None

    @asynccontextmanager
    async def lend(self, key: str = "") -> AsyncIterator[Endpoint]:
        """Choose a replica, by `key` if there is one, and count what is done there as in flight.

        A block that ends with the loss of the replica has it shunned until it answers a ping.

        Raises:
            ComponentUnavailable: no replica is well.
            AtCapacity: all that are well are full.
        """
        endpoint = await self._wait_for_one(key)
        endpoint.count(1)
        try:
            yield endpoint
        except ComponentUnavailable as error:
            if not is_refusal(error):
                endpoint.shun()
            raise
        finally:
            endpoint.count(-1)
            self._note_change()

    async def watch(self) -> None:
        """Watch all replicas for ever."""
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self.endpoints:
                tasks.create_task(endpoint.watch(), name=f"watch {self.component} {endpoint.address}")

    async def close(self) -> None:
        """Close all channels."""
        for endpoint in self.endpoints:
            await endpoint.channel.close()

    async def _wait_for_one(self, key: str) -> Endpoint:
        deadline = Deadline(self.settings.patience_s)
        while (endpoint := self._choose(key)) is None:
            try:
                async with asyncio.timeout(deadline.left_s()):
                    await self._changes.wait()
            except TimeoutError:
                if not self.is_well:
                    raise self._unavailable() from None
                raise AtCapacity(f"{self.component} is full", component=self.component, retry_after_ms="1000") from None
        return endpoint

    def _choose(self, key: str) -> Endpoint | None:
        free = [e for e in self.endpoints if e.is_well and e.in_flight < self.settings.max_in_flight]
        if not free:
            return None
        if key:
            return max(free, key=lambda endpoint: rank(key, endpoint.address))
        return min(free, key=lambda endpoint: (endpoint.in_flight, endpoint.lent_count))

    def _note_change(self) -> None:
        self._changes.set()
        self._changes = asyncio.Event()

    def _unavailable(self) -> ComponentUnavailable:
        return ComponentUnavailable(f"{self.component} is not available", component=self.component)


def rank(key: str, address: str) -> bytes:
    """How much a key likes an address: the highest wins, and a lost address moves only its own keys."""
    return hashlib.blake2b(f"{key} {address}".encode(), digest_size=8).digest()
