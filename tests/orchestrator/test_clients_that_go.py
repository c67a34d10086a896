"""Clients that go without a word, or stay and read nothing: what they held is free again, over a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from vita.conversation.v1 import conversation_service_pb2_grpc as service
from vita_gateway.converse import CHANNEL_OPTIONS
from vita_orchestrator.policy import Policy
from vita_runtime import keepalive

from tests.fakes.components import FakeComponents
from tests.orchestrator.test_servicer import ANSWER, ASK, edge, opening

pytestmark = pytest.mark.unit

NOTICED_S = 10.0
NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))  # a client that takes 64 KB unread


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(NOTICED_S):
        while not is_so():  # noqa: ASYNC110 - the servicer tells nobody
            await asyncio.sleep(0.05)


async def test_a_client_that_reads_nothing_of_what_is_left_for_it_at_the_end_gives_its_place_back(
    tmp_path: Path,
) -> None:
    fakes = FakeComponents.answering("word " * 60)  # 1 MB of sound: more than the client takes, less than the outbox
    fakes.speech_decoder.code_s = fakes.speech_decoder.first_s = fakes.codec_decoder.window_s = 0.0
    fakes.llm.token_s = 0.0
    async with edge(tmp_path, fakes) as it, grpc.aio.insecure_channel(f"unix:{tmp_path}/edge.sock", NARROW) as channel:
        object.__setattr__(it.servicer._surroundings, "policy", Policy(client_stall_s=0.3))
        call = service.ConversationServiceStub(channel).Converse()
        for request in (opening(), ASK, ANSWER):
            await call.write(request)
        await call.done_writing()
        await until(lambda: it.servicer.session_count == 1)
        await until(lambda: it.servicer._admitted == 0)
        assert it.servicer.session_count == 0
        call.cancel()


@asynccontextmanager
async def network(tmp_path: Path) -> AsyncGenerator[asyncio.Event]:
    """A way to the edge at net.sock; once the event is set nothing gets through, and no connection is closed."""
    is_dead, over = asyncio.Event(), asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (content := await reader.read(65_536)) and not is_dead.is_set():
            writer.write(content)
        await over.wait()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(f"{tmp_path}/edge.sock")
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_unix_server(connect, f"{tmp_path}/net.sock")
    try:
        yield is_dead
    finally:
        over.set()
        server.close()
        await asyncio.sleep(0.05)


async def test_a_client_whose_machine_vanishes_is_noticed_and_gives_its_place_back(tmp_path: Path) -> None:
    options = keepalive.server_options(ping_s=1.0, answer_s=0.5)
    async with (
        edge(tmp_path, FakeComponents.answering("Yes."), options=options) as it,
        network(tmp_path) as is_dead,
        grpc.aio.insecure_channel(f"unix:{tmp_path}/net.sock") as channel,
    ):
        call = service.ConversationServiceStub(channel).Converse()
        await call.write(opening())
        assert (await call.read()).HasField("opened")
        assert it.servicer.session_count == 1
        is_dead.set()
        await until(lambda: it.servicer._admitted == 0)
        call.cancel()


def test_the_gateway_pings_and_no_more_often_than_the_orchestrator_permits() -> None:
    pings, permits = dict(CHANNEL_OPTIONS), dict(keepalive.server_options())
    assert pings["grpc.keepalive_time_ms"] == 20_000
    assert pings["grpc.keepalive_timeout_ms"] == pings["grpc.http2.ping_timeout_ms"] == 10_000
    assert pings["grpc.keepalive_time_ms"] > permits["grpc.http2.min_ping_interval_without_data_ms"]
