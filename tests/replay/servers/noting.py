"""Recordings of what the real clients and modelled servers said to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from vita.recording.v1.recording_pb2 import Manifest
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_components.connect import ConnectedComponents
from vita_recordings import tape
from vita_recordings.bundle import Bundle
from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.tape import ReplayTape

from tests.replay.servers.conftest import connected, serving

T = TypeVar("T")
Talk = Callable[[ConnectedComponents, ReplayTape], Awaitable[T]]


async def recorded(modelled: Modelled, talk: Talk[T]) -> tuple[Bundle, T]:
    """Return what passed while somebody talked with modelled servers, and what it gave them."""
    async with serving(modelled.behaviour) as servers:
        return await recorded_over(servers, talk)


async def recorded_over(servers: Mapping[str, ComponentServer], talk: Talk[T]) -> tuple[Bundle, T]:
    """As `recorded`, with servers that are there already."""
    async with connected(servers) as components:
        noting = ReplayTape((), asyncio.get_running_loop().time)
        tape.use(noting)
        try:
            said = await talk(components, noting)
        finally:
            tape.use(None)
        return Bundle(Manifest(), Snapshot(), noting.records()), said
