"""The store in Redis keeps the laws of every store, and says so when Redis is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from vita_runtime.errors import StoreUnavailable
from vita_sessions.redis_store import RedisStore

from tests.sessions.conftest import MakeRedisStore, RedisServer
from tests.sessions.laws import MakeStore, StoreLaws, a_session

pytestmark = pytest.mark.redis


@pytest.fixture
def make_store(redis_store: MakeRedisStore) -> MakeStore:
    return redis_store


class TestRedisStore(StoreLaws):
    """As every store."""


@pytest.fixture
def mortal_redis(tmp_path_factory: pytest.TempPathFactory, redis_folder: Path) -> Iterator[RedisServer]:
    """A server of its own for tests that stop it."""
    folder = redis_folder / "mortal"
    folder.mkdir(exist_ok=True)
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()


async def test_a_redis_that_is_gone_is_reported_at_once_and_used_again_when_it_is_back(
    mortal_redis: RedisServer,
) -> None:
    store, session = RedisStore(mortal_redis.url), a_session()
    lease = await store.create(session, "one")
    mortal_redis.stop()
    started_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.save(session, lease)
    with pytest.raises(StoreUnavailable):
        await store.create(a_session(), "one")
    assert time.monotonic() - started_s < 1.0
    mortal_redis.start()
    await store.renew(lease)
    await store.save(session, lease)  # the new Redis is empty: everything goes again
    assert await store.load(session.session_id, "tenant") == session
    await store.close()


async def test_a_call_that_is_cancelled_ends_whenever_that_happens(redis_store: MakeRedisStore) -> None:
    store, session = redis_store(), a_session()
    lease = await store.create(session, "one")

    async def renew_for_ever() -> None:
        while True:
            await store.renew(lease)

    for steps in range(200):
        task = asyncio.create_task(renew_for_ever())
        for _ in range(steps % 50):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=2)
        assert task.cancelled()


async def test_a_redis_that_hangs_costs_a_deadline_and_no_more(redis_folder: Path) -> None:
    path = redis_folder / "hung.sock"

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(swallow, path)
    store = RedisStore(f"unix://{path}", deadline_s=0.2)
    started_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.ping()
    assert time.monotonic() - started_s < 0.6
    await store.close()
    server.close()


async def test_a_save_writes_only_the_media_that_are_new(redis_server: RedisServer) -> None:
    store, session = RedisStore(redis_server.url), a_session()
    lease = await store.create(session, "one")
    redis = Redis.from_url(redis_server.url)
    before = (await redis.info("stats"))["total_net_input_bytes"]
    session.generation += 1
    await store.save(session, lease)
    after = (await redis.info("stats"))["total_net_input_bytes"]
    assert after - before < 4000, "32 kB of sound were written again"
    await redis.aclose()
    await store.close()
