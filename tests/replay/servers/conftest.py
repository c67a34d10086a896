"""Component servers on loopback, and the real clients in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from vita_components.connect import NAMES, ConnectedComponents, connect
from vita_components.endpoint import PoolSettings
from vita_replay.behaviour import Behaviour
from vita_replay.kserve import ComponentServer
from vita_replay.pace import Pace

# A tenth of the usual, so that losses are noticed in a tenth of the time.
WATCHED = PoolSettings(ping_interval_s=0.3, ping_deadline_s=0.3, doubt_deadline_s=0.3, ping_gap_s=0.03)

Build = Callable[[str, Pace], Behaviour]
Serving = Callable[[Build], AbstractAsyncContextManager[Mapping[str, ComponentServer]]]


@asynccontextmanager
async def serving(build: Build) -> AsyncIterator[dict[str, ComponentServer]]:
    """Serve all five."""
    servers: dict[str, ComponentServer] = {}
    try:
        for name in NAMES:
            pace = Pace()
            servers[name] = ComponentServer(name, build(name, pace), pace)
            await servers[name].start()
        yield servers
    finally:
        for server in servers.values():
            await server.stop()


@asynccontextmanager
async def connected(servers: Mapping[str, ComponentServer]) -> AsyncIterator[ConnectedComponents]:
    """Connect the real clients."""
    addresses = {name: [server.address] for name, server in servers.items()}
    async with connect(addresses, WATCHED) as components:
        await components.wait_ready(10)
        yield components


@pytest.fixture
def picture() -> bytes:
    """As much of a picture as the modelled encoder looks at."""
    return b"\xff\xd8\xff a picture"
