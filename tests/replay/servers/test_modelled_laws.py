"""Modelled servers, seen through the real clients, keep the laws of the components."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from vita_orchestrator.components import Components
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC
from vita_replay.modelled.llm import EIGHT_SECONDS, LlmSettings
from vita_replay.modelled.senses import SensesSettings

from tests.components.laws import ComponentLaws
from tests.replay.servers.conftest import connected, serving

pytestmark = pytest.mark.unit


@pytest.fixture
async def components() -> AsyncIterator[Components]:
    modelled = Modelled(REALISTIC, SensesSettings(finished=0.7), LlmSettings(answers=(EIGHT_SECONDS * 5,)))
    async with serving(modelled.behaviour) as servers, connected(servers) as clients:
        yield clients


class TestModelled(ComponentLaws):
    """As every component."""
