"""Recorded servers keep the laws of the components: each law is recorded once over modelled servers, then replayed."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

import pytest
from vita_orchestrator.components import Components
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC
from vita_replay.modelled.llm import EIGHT_SECONDS, LlmSettings
from vita_replay.modelled.senses import SensesSettings
from vita_replay.recorded.components import Recorded

from tests.components.laws import ComponentLaws
from tests.replay.servers.conftest import connected, serving
from tests.replay.servers.noting import recorded

pytestmark = pytest.mark.unit

MODELLED = Modelled(REALISTIC, SensesSettings(finished=0.7), LlmSettings(answers=(EIGHT_SECONDS * 5,)))


@pytest.fixture
async def components(request: pytest.FixtureRequest, picture: bytes) -> AsyncIterator[Components]:
    law = getattr(ComponentLaws(), request.function.__name__)
    needed = {"picture": picture} if "picture" in inspect.signature(law).parameters else {}
    bundle, _ = await recorded(MODELLED, lambda components, _: law(components=components, **needed))
    async with serving(Recorded(bundle).behaviour) as servers, connected(servers) as clients:
        yield clients


class TestRecorded(ComponentLaws):
    """As every component."""
