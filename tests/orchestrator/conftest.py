"""Turn-taking runs on the virtual clock; what opens sockets runs on the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tests.fakes.clock import LoopFactory, virtual_loop_factories

REAL_TIME = ("test_servicer", "test_clients_that_go", "test_recording")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Choose the clock of a test by its module."""
    if item.path.stem in REAL_TIME:
        return {"real": asyncio.new_event_loop}
    return virtual_loop_factories()
