"""Servers that speak as Triton does, and pools in front of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from vita_components.endpoint import PoolSettings
from vita_components.pool import Pool

from tests.components.fake_triton import Answer, FakeTriton


@pytest.fixture(scope="session")
def socket_folder() -> Iterator[Path]:
    """Short: a socket's path may have no more than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="vita-fake-") as folder:
        yield Path(folder)


Serve = Callable[..., Awaitable[FakeTriton]]
MakePool = Callable[..., Awaitable[Pool]]


@pytest.fixture
async def serve(socket_folder: Path) -> AsyncIterator[Serve]:
    """Starts fake Tritons."""
    servers: list[FakeTriton] = []

    async def start(answer: Answer) -> FakeTriton:
        servers.append(FakeTriton(socket_folder, f"triton{len(servers)}", answer))
        await servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def make_pool() -> AsyncIterator[MakePool]:
    """Makes pools that are watched, and waits until all their endpoints are well."""
    pools: list[tuple[Pool, asyncio.Task[None]]] = []

    async def make(component: str, servers: list[FakeTriton], **settings: float) -> Pool:
        given = {
            "ping_deadline_s": 0.3,
            "doubt_deadline_s": 0.3,
            "ping_interval_s": 0.3,
            "ping_gap_s": 0.03,
            **settings,
        }
        pool = Pool(component, [server.address for server in servers], PoolSettings(**given))  # type: ignore[arg-type]
        pools.append((pool, asyncio.create_task(pool.watch())))
        async with asyncio.timeout(5):
            while not all(endpoint.is_well for endpoint in pool.endpoints):  # noqa: ASYNC110  # all, not any
                await asyncio.sleep(0.01)
        return pool

    yield make
    for pool, watching in pools:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await pool.close()
