"""The replicas of one component, and which of them serves the next request.

Stateless requests go where the fewest are in flight. What holds state goes where its key says (rendezvous hashing), so
that a session finds its replica again and a lost replica scatters its sessions over the others. A replica that has just
failed somebody, by its loss or with garbage, is asked only if there is no other: what answers garbage answers pings.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from vita_runtime.errors import AtCapacity, ComponentUnavailable

from vita_components.endpoint import Endpoint, PoolSettings
from vita_components.triton import Deadline


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

    @property
    def silent_s(self) -> float:
        """How long nothing has been heard of any replica."""
        return min(endpoint.silent_s for endpoint in self.endpoints)

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
            with endpoint.blamed():
                yield endpoint
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
        free = [endpoint for endpoint in free if not endpoint.is_avoided] or free
        if not free:
            return None
        if key:
            return max(free, key=lambda endpoint: rank(key, endpoint.address))
        return min(free, key=lambda endpoint: (endpoint.in_flight, endpoint.lent_count))

    def _note_change(self) -> None:
        self._changes.set()
        self._changes = asyncio.Event()

    def _unavailable(self) -> ComponentUnavailable:
        error = ComponentUnavailable(f"{self.component} is not available", component=self.component)
        error.silent_s = self.silent_s
        return error


def rank(key: str, address: str) -> bytes:
    """How much a key likes an address: the highest wins, and a lost address moves only its own keys."""
    return hashlib.blake2b(f"{key} {address}".encode(), digest_size=8).digest()
