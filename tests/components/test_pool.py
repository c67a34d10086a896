"""Which replica serves what, and what happens when one is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from vita_components.pool import rank
from vita_components.triton import Deadline, build_request
from vita_runtime.errors import AtCapacity, ComponentDeadline, ComponentUnavailable

from tests.components.conftest import MakePool, Serve
from tests.components.fake_triton import response

pytestmark = pytest.mark.unit

REQUEST = build_request("llm")


async def at_once(request: Any) -> AsyncIterator[Any]:
    """One reply."""
    yield response()


async def never(request: Any) -> AsyncIterator[Any]:
    """No reply, from a model that is alive."""
    await asyncio.Event().wait()
    yield response()


async def test_the_replica_with_the_fewest_requests_is_chosen(serve: Serve, make_pool: MakePool) -> None:
    pool = await make_pool("llm", [await serve(at_once) for _ in range(3)])
    async with AsyncExitStack() as stack:
        for _ in range(6):
            await stack.enter_async_context(pool.lend())
        assert [endpoint.in_flight for endpoint in pool.endpoints] == [2, 2, 2]
    assert [endpoint.in_flight for endpoint in pool.endpoints] == [0, 0, 0]


async def test_a_key_finds_its_replica_again(serve: Serve, make_pool: MakePool) -> None:
    pool = await make_pool("llm", [await serve(at_once) for _ in range(3)])
    chosen: dict[str, set[str]] = {}
    for key in [f"session {n}" for n in range(20)] * 2:
        async with pool.lend(key) as endpoint:
            chosen.setdefault(key, set()).add(endpoint.address)
    assert all(len(addresses) == 1 for addresses in chosen.values())
    assert len(set.union(*chosen.values())) == 3


def test_a_lost_address_moves_only_its_own_keys() -> None:
    addresses = [f"host{n}:1" for n in range(5)]
    keys = [f"session {n}" for n in range(200)]
    before = {key: max(addresses, key=lambda address: rank(key, address)) for key in keys}
    after = {key: max(addresses[1:], key=lambda address: rank(key, address)) for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != addresses[0])


async def test_a_full_replica_makes_callers_wait_and_then_refuses(serve: Serve, make_pool: MakePool) -> None:
    pool = await make_pool("llm", [await serve(at_once)], max_in_flight=1, patience_s=0.2)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pool.lend())
        with pytest.raises(AtCapacity):
            await stack.enter_async_context(pool.lend())
        waiting = asyncio.create_task(stack.enter_async_context(pool.lend()))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        pool.endpoints[0].in_flight = 0
        pool.endpoints[0].shun()
        await waiting
        pool.endpoints[0].in_flight = 2  # as the two blocks will count down


async def test_a_killed_server_ends_its_streams_at_once(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(never)
    pool = await make_pool("llm", [server])
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        reading = asyncio.create_task(stream.receive(Deadline(10)))
        await asyncio.sleep(0.05)
        started_s = time.monotonic()
        await server.stop()
        await asyncio.wait({reading})
        assert isinstance(reading.exception(), ComponentUnavailable)
        assert time.monotonic() - started_s < 0.5


async def test_a_model_whose_process_died_ends_its_streams_although_they_stay_open(
    serve: Serve, make_pool: MakePool
) -> None:
    server = await serve(never)
    pool = await make_pool("llm", [server])
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        server.is_hung = True
        started_s = time.monotonic()
        reading = asyncio.create_task(stream.receive(Deadline(10)))
        await asyncio.wait({reading})
        assert isinstance(reading.exception(), ComponentUnavailable)
        assert time.monotonic() - started_s < 1.5  # stall 0.4 s + ping 0.3 s, and a busy machine
        assert not pool.is_well


async def test_a_model_that_is_slow_but_alive_is_not_given_up_before_the_deadline(
    serve: Serve, make_pool: MakePool
) -> None:
    server = await serve(never)
    pool = await make_pool("llm", [server])
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        pings = server.ping_count
        with pytest.raises(ComponentDeadline):
            await stream.receive(Deadline(1.5))
        assert pool.is_well
        assert server.ping_count - pings >= 3  # it was asked whether it is alive


async def test_a_model_that_says_it_is_dead_is_lost_and_found_again(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(at_once)
    pool = await make_pool("llm", [server], patience_s=0.05)
    server.refusal = "Stub process 'llm_0_0' is not healthy."
    pool.endpoints[0].doubt()
    await asyncio.sleep(0.3)
    with pytest.raises(ComponentUnavailable):
        await pool.lend().__aenter__()
    server.refusal = ""
    started_s = time.monotonic()
    await pool.wait_ready(2)
    assert time.monotonic() - started_s < 0.2


async def test_a_server_that_comes_back_is_in_use_within_two_tenths_of_a_second(
    serve: Serve, make_pool: MakePool
) -> None:
    server = await serve(at_once)
    pool = await make_pool("llm", [server])
    for away_s in (0.1, 0.9):
        await server.stop()
        pool.endpoints[0].doubt()
        await asyncio.sleep(away_s)
        assert not pool.is_well
        await server.start()
        started_s = time.monotonic()
        await pool.wait_ready(5)
        assert time.monotonic() - started_s < 0.35  # 0.2 s, and a busy machine


async def test_what_was_lost_elsewhere_is_not_lost_here(serve: Serve, make_pool: MakePool) -> None:
    servers = [await serve(at_once), await serve(at_once)]
    pool = await make_pool("llm", servers)
    await servers[0].stop()
    for _ in range(20):
        try:
            async with pool.lend() as endpoint:
                await endpoint.infer(REQUEST, deadline_s=1)
        except ComponentUnavailable:
            continue
    assert len(servers[1].requests) >= 19  # one was lost at most: then the other was shunned
