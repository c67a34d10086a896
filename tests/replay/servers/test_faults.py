"""Faults on cue, and what the real clients and their pools make of them: a clear error soon, and never a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing

import pytest
from vita_components.connect import NAMES, ConnectedComponents
from vita_components.llm import TritonLlm
from vita_components.pool import Pool
from vita_orchestrator.components import Components, Judgement, Sampling, TextPiece
from vita_replay.faults import Garbage
from vita_replay.kserve import ComponentServer, counts
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC
from vita_replay.pace import Pace
from vita_runtime.errors import ComponentUnavailable, VitaError

from tests.components.laws import hear, speech, written
from tests.replay.servers.conftest import WATCHED, connected, serving

pytestmark = pytest.mark.unit

PICTURE = b"\xff\xd8\xff a picture"
Servers = Mapping[str, ComponentServer]


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with serving(Modelled(REALISTIC).behaviour) as running:
        yield running


@pytest.fixture
async def components(servers: Servers) -> AsyncIterator[ConnectedComponents]:
    async with connected(servers) as clients:
        yield clients


async def see(components: Components) -> None:
    """All of a picture."""
    async with aclosing(components.vision_encoder.encode(PICTURE, max_tile_count=4)) as tiles:
        assert [tile.tile_index async for tile in tiles] == [0, 1, 2, 3, 4]


async def listen(components: Components) -> None:
    """All of an utterance."""
    assert sum(piece.count for piece in await hear(components, speech(1.0))) == 13


async def think(components: Components) -> None:
    """A whole answer."""
    async with components.llm.context("s") as context:
        await context.append_text("user", "Hello.")
        assert await written(context, Sampling())


async def speak(components: Components) -> None:
    """A whole clause."""
    async with aclosing(components.speech_decoder.speak("A red circle.", seed=1)) as chunks:
        assert sum([len(chunk.codes) async for chunk in chunks]) == 39


async def decode(components: Components) -> None:
    """A window."""
    assert len(await components.codec_decoder.decode(tuple(range(30)), keep_from=10, keep_count=10)) == 12_000


USES: dict[str, Callable[[Components], Awaitable[None]]] = dict(
    zip(NAMES, (see, listen, think, speak, decode), strict=True)
)


async def until(condition: Callable[[], bool], within_s: float) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("garbage", Garbage)
@pytest.mark.parametrize("component", NAMES)
async def test_garbage_is_a_clear_error_and_nothing_is_left_of_it(
    servers: Servers, components: ConnectedComponents, component: str, garbage: Garbage
) -> None:
    servers[component].faults.garble(garbage)
    started_s = time.monotonic()
    with pytest.raises(VitaError) as caught:
        await USES[component](components)
    assert caught.value.metadata.get("component") == component
    assert time.monotonic() - started_s < 1.0
    servers[component].faults.heal()
    await components.wait_ready(2)
    await USES[component](components)
    await until(lambda: servers[component].open_calls == 0, 1)


@pytest.mark.parametrize("component", NAMES)
async def test_a_server_that_hangs_is_lost_by_its_pings_and_found_again(
    servers: Servers, components: ConnectedComponents, component: str
) -> None:
    servers[component].faults.hang()
    started_s = time.monotonic()
    with pytest.raises(ComponentUnavailable):
        await USES[component](components)
    assert time.monotonic() - started_s < 2.0  # silence 0.4 s, ping 0.3 s, and a busy machine
    assert components.unready() == [component]
    servers[component].faults.heal()
    await components.wait_ready(2)
    await USES[component](components)


@pytest.mark.parametrize("component", NAMES)
async def test_a_server_that_is_killed_comes_back_at_its_address(
    servers: Servers, components: ConnectedComponents, component: str
) -> None:
    address = servers[component].address
    servers[component].faults.when_answering(lambda: servers[component].kill(back_after_s=0.5))
    with pytest.raises(ComponentUnavailable):
        await USES[component](components)
    await until(lambda: components.unready() == [component], 1)
    await components.wait_ready(3)
    await USES[component](components)
    assert servers[component].address == address


@pytest.mark.parametrize("component", NAMES)
async def test_a_slow_server_is_well_and_serves_as_much(
    servers: Servers, components: ConnectedComponents, component: str
) -> None:
    async def use_s() -> float:
        started_s = time.monotonic()
        await USES[component](components)
        return time.monotonic() - started_s

    fast_s = await use_s()
    servers[component].faults.slow(3.0, delay_s=0.1)
    assert await use_s() > fast_s + 0.08
    assert components.unready() == []
    servers[component].faults.heal()
    assert await use_s() < fast_s + 0.08


async def test_a_session_leaves_the_replica_of_its_model_that_answers_garbage() -> None:
    replicas = [ComponentServer("llm", Modelled(REALISTIC).behaviour("llm", pace), pace) for pace in (Pace(), Pace())]
    async with AsyncExitStack() as stack:
        for server in replicas:
            await server.start()
            stack.push_async_callback(server.stop)
        pool = Pool("llm", [server.address for server in replicas], WATCHED)
        stack.push_async_callback(pool.close)
        watching = asyncio.create_task(pool.watch())
        stack.callback(watching.cancel)
        await until(lambda: all(endpoint.is_well for endpoint in pool.endpoints), 5)
        async with TritonLlm(pool).context("s") as context:
            await context.append_text("user", "Hello.")
            home = max(replicas, key=lambda server: server.request_count)
            home.faults.garble(Garbage.KIND)
            with pytest.raises(ComponentUnavailable):
                await context.append_text("user", "And?")
        await until(lambda: all(endpoint.is_well for endpoint in pool.endpoints), 1)  # it answers pings
        async with TritonLlm(pool).context("s") as context:
            assert await context.append_text("user", "Hello.") > 0
        assert min(server.request_count for server in replicas) > 0


async def test_a_fault_comes_at_its_phase_and_not_before(servers: Servers, components: ConnectedComponents) -> None:
    faults = servers["llm"].faults
    faults.when_asked("generate", lambda: faults.when_answering(faults.hang, count=3))  # judgement, words, and then
    async with components.llm.context("s") as context:
        await context.append_text("user", "Hello.")
        async with aclosing(context.generate(Sampling())) as events:
            said = [await anext(events) for _ in range(2)]
            with pytest.raises(ComponentUnavailable):
                await anext(events)
        assert [type(event) for event in said] == [Judgement, TextPiece]


async def test_a_hung_server_answers_what_waited_once_it_goes_on(
    servers: Servers, components: ConnectedComponents
) -> None:
    server = servers["codec_decoder"]
    server.faults.hang()
    assert await counts(server.address, "codec_decoder") == (0, 0)  # the server is well: only the model hangs
    decoding = asyncio.create_task(decode(components))
    await asyncio.sleep(0.1)
    assert not decoding.done()
    server.faults.heal()
    await decoding
    assert await counts(server.address, "codec_decoder") == (1, 10)


async def test_work_that_is_left_stops(servers: Servers, components: ConnectedComponents) -> None:
    async with aclosing(components.speech_decoder.speak("A clause that is long. " * 200, seed=0)) as chunks:
        await anext(chunks)
    await until(lambda: servers["speech_decoder"].open_calls == 0, 0.5)
    work = servers["speech_decoder"].behaviour.work
    await asyncio.sleep(0.1)
    assert servers["speech_decoder"].behaviour.work == work < 23 * 200 * 3
