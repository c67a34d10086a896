"""Which replica serves what, and what happens when one is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from vita_components.failures import garbled, lost
from vita_components.pool import Pool, rank
from vita_components.triton import Deadline, build_request, open_stream
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


async def test_silence_is_borne_longer_while_nobody_waits(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(never)
    pool = await make_pool("llm", [server], ping_deadline_s=30, doubt_deadline_s=0.5)
    server.is_hung = True
    await asyncio.sleep(1.5)
    assert pool.is_well, "nobody has asked anything"
    pool.endpoints[0].doubt()
    await asyncio.sleep(0.2)
    assert not pool.is_well, "the ping that is out has been waited for long enough"


async def step_by_step(request: Any) -> AsyncIterator[Any]:
    """Replies of an engine whose steps take long."""
    while True:
        await asyncio.sleep(0.5)
        yield response()


async def test_an_engine_whose_steps_leave_no_time_for_pings_lives_as_long_as_it_answers(
    serve: Serve, make_pool: MakePool
) -> None:
    server = await serve(step_by_step)
    pool = await make_pool("llm", [server], ping_deadline_s=0.8, doubt_deadline_s=0.8)
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        await stream.receive(Deadline(2))
        server.is_hung = True  # pings; the answer that has begun goes on
        for _ in range(5):
            await stream.receive(Deadline(2))
        assert pool.is_well


async def test_a_loss_says_how_long_the_replica_had_been_silent(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(never)
    pool = await make_pool("llm", [server], doubt_deadline_s=0.5)
    started_s = time.monotonic()
    server.is_hung = True
    with pytest.raises(ComponentUnavailable) as caught:
        async with pool.lend() as endpoint:
            await endpoint.infer(REQUEST, deadline_s=10)
    took_s = time.monotonic() - started_s
    assert took_s - 0.1 <= caught.value.silent_s <= took_s + 0.5  # the last ping was answered up to 0.3 s before
    with pytest.raises(ComponentUnavailable) as refused:
        await pool.lend().__aenter__()
    assert refused.value.silent_s > caught.value.silent_s


async def address_of(pool: Pool, key: str) -> str:
    """Where a session's key leads."""
    async with pool.lend(key) as endpoint:
        return endpoint.address


async def test_a_replica_that_answers_garbage_comes_last_for_a_while_and_not_for_ever(
    serve: Serve, make_pool: MakePool
) -> None:
    pool = await make_pool("llm", [await serve(at_once) for _ in range(2)], avoided_s=0.6)
    key = "session 1"
    first = await address_of(pool, key)
    with pytest.raises(ComponentUnavailable):
        async with pool.lend(key):
            raise garbled("llm", "nonsense")
    await asyncio.sleep(0.2)
    assert all(endpoint.is_well for endpoint in pool.endpoints), "it answers pings"
    second = await address_of(pool, key)
    assert second != first
    with pytest.raises(ComponentUnavailable):
        async with pool.lend(key):
            raise garbled("llm", "nonsense from the other, too")
    assert await address_of(pool, key), "better one that is not trusted than none"
    await asyncio.sleep(0.7)
    assert await address_of(pool, key) == first


async def test_a_loss_that_is_known_is_not_blamed_on_a_replica_that_is_back(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(never)
    pool = await make_pool("llm", [server])
    async with pool.lend() as endpoint, endpoint.stream() as idle:
        await idle.send(REQUEST)
        await server.stop()
        endpoint.doubt()
        await asyncio.sleep(0.1)
        await server.start()
        await pool.wait_ready(2)
        with pytest.raises(ComponentUnavailable), endpoint.blamed():
            await idle.receive(Deadline(1))
        assert pool.is_well


async def test_who_waits_to_write_is_told_of_the_loss_at_once(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(never)
    pool = await make_pool("llm", [server])
    await server.stop()
    async with open_stream(pool.endpoints[0].channel, "llm", lambda: None, is_waiting=True) as stream:
        sending = asyncio.create_task(stream.send(REQUEST))
        await asyncio.sleep(0.1)
        assert not sending.done()
        stream.lose(lost("llm"))
        async with asyncio.timeout(0.5):
            with pytest.raises(ComponentUnavailable, match="lost"):
                await sending


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
