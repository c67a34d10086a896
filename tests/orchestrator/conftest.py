"""Everything here runs on the virtual clock."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.fakes.clock import LoopFactory, virtual_loop_factories


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    return virtual_loop_factories()
