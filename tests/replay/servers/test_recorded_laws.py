"""Recorded servers keep the laws of the components: each law is recorded once over modelled servers, then replayed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vita.recording.v1.recording_pb2 import Manifest, Record
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_orchestrator.components import Components
from vita_recordings import tape
from vita_recordings.bundle import Bundle
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC
from vita_replay.modelled.llm import EIGHT_SECONDS, LlmSettings
from vita_replay.recorded.components import Recorded
from vita_replay.tape import ReplayTape

from tests.components.laws import ComponentLaws
from tests.replay.servers.conftest import connected, serving

pytestmark = pytest.mark.unit

MODELLED = Modelled(REALISTIC, llm=LlmSettings(answers=(EIGHT_SECONDS * 5,)))


async def recorded(law: Any, **needed: Any) -> tuple[Record, ...]:
    """What passed while a law was looked at."""
    async with serving(MODELLED.behaviour) as servers, connected(servers) as components:
        noting = ReplayTape((), asyncio.get_running_loop().time)
        tape.use(noting)
        try:
            await law(components=components, **needed)
        finally:
            tape.use(None)
        return noting.records()


@pytest.fixture
async def components(request: pytest.FixtureRequest, picture: bytes) -> AsyncIterator[Components]:
    law = getattr(ComponentLaws(), request.function.__name__)
    needed = {"picture": picture} if "picture" in inspect.signature(law).parameters else {}
    records = await recorded(law, **needed)
    bundle = Bundle(Manifest(), Snapshot(), records)
    async with serving(Recorded(bundle).behaviour) as servers, connected(servers) as clients:
        yield clients


class TestRecorded(ComponentLaws):
    """As every component."""
