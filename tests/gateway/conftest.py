"""A gateway on a port of its own before a fake orchestrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from vita_gateway.settings import Settings

from tests.gateway.fake_orchestrator import FakeOrchestrator, serving
from tests.gateway.running import Running, StartGateway, Talker, running


@pytest.fixture
def fake() -> FakeOrchestrator:
    return FakeOrchestrator()


@pytest.fixture
async def orchestrator_address(fake: FakeOrchestrator) -> AsyncIterator[str]:
    async with serving(fake) as address:
        yield address


@pytest.fixture
def start_gateway(orchestrator_address: str) -> StartGateway:
    """Start a gateway with settings of a test's own."""
    defaults = Settings(orchestrator_address, connect_s=2.0, drain_s=0.2)
    return lambda **changes: running(replace(defaults, **changes))


@pytest.fixture
async def served(start_gateway: StartGateway) -> AsyncIterator[Running]:
    async with start_gateway() as one:
        yield one


@pytest.fixture
async def http(served: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, timeout=10.0) as client:
        yield client


@pytest.fixture
async def talker(served: Running) -> AsyncIterator[Talker]:
    async with served.connect() as socket:
        one = Talker(socket)
        await one.until("session.created")
        yield one
