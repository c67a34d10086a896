"""When the way behind the gateway breaks, or the client before it stalls: sessions go on where they can."""

from __future__ import annotations

import asyncio
import contextlib
import json

import grpc
import pytest
import websockets
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_gateway.app import Gateway

from tests.gateway.fake_orchestrator import FakeOrchestrator, Script, serving, status
from tests.gateway.running import StartGateway, Talker, until

pytestmark = pytest.mark.unit


async def test_a_session_goes_on_after_the_orchestrator_was_lost(talker: Talker, fake: FakeOrchestrator) -> None:
    fake.conversations[0].script = Script(dies_on_response=True)
    await talker.send("response.create", response={"metadata": {"n": "1"}}, event_id="first")
    done = await talker.until("response.done")
    response = done["response"]
    assert isinstance(response, dict)
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["code"] == "component_unavailable"
    assert response["metadata"] == {"n": "1"}
    await talker.until("error")
    await until(lambda: len(fake.conversations) == 2)
    assert fake.openings[1].session_id == fake.conversations[0].session_id
    await talker.send("response.create")
    done = await talker.until("response.done")
    assert done["response"]["status"] == "completed"  # type: ignore[index]
    assert talker.kinds.count("session.created") == 1


async def test_a_session_outlives_a_restart_of_the_orchestrator(
    fake: FakeOrchestrator, start_gateway: StartGateway
) -> None:
    async with contextlib.AsyncExitStack() as first:
        address = await first.enter_async_context(serving(fake))
        async with start_gateway(orchestrator_address=address) as served, served.connect() as socket:
            talker = Talker(socket)
            await talker.until("session.created")
            await first.aclose()
            audio = {"input": {"turn_detection": None}}
            await talker.send("session.update", session={"audio": audio})
            await asyncio.sleep(0.3)
            async with serving(fake, address):
                await talker.until("session.updated")
                await talker.send("response.create")
                done = await talker.until("response.done")
            assert done["response"]["status"] == "completed"  # type: ignore[index]
            assert not fake.openings[-1].configuration.turn_detection.is_enabled


async def test_what_had_no_answer_when_the_orchestrator_was_lost_is_named(
    talker: Talker, fake: FakeOrchestrator
) -> None:
    held = fake.conversations[0]
    held.script = Script(waits_before_start=asyncio.Event())
    await talker.send("response.create", event_id="asked")
    await until(lambda: held.events("create_response"))
    held.outbox.put_nowait(status(grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DRAINING"))
    error = (await talker.until("error"))["error"]
    assert error["event_id"] == "asked"  # type: ignore[index]


async def test_a_session_that_cannot_be_had_back_ends_with_an_error(
    fake: FakeOrchestrator, start_gateway: StartGateway
) -> None:
    async with contextlib.AsyncExitStack() as first:
        address = await first.enter_async_context(serving(fake))
        async with start_gateway(orchestrator_address=address, resume_s=0.5) as served, served.connect() as socket:
            talker = Talker(socket)
            await talker.until("session.created")
            await first.aclose()
            error = (await talker.until("error"))["error"]
            assert error["type"] == "server_error"  # type: ignore[index]
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await talker.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


@pytest.mark.parametrize(
    ("refusal", "code", "close"),
    [
        (status(grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_AT_CAPACITY"), "rate_limit_exceeded", 1013),
        (status(grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_STORE_UNAVAILABLE"), "store_unavailable", 1013),
        (status(grpc.StatusCode.NOT_FOUND, "ERROR_REASON_NOT_FOUND"), "not_found", 1008),
        (status(grpc.StatusCode.INTERNAL, "ERROR_REASON_INTERNAL"), "internal_error", 1011),
    ],
)
async def test_a_refused_session_is_told_why_and_closed(
    fake: FakeOrchestrator, start_gateway: StartGateway, refusal: object, code: str, close: int
) -> None:
    fake.script.refusal = refusal  # type: ignore[assignment]
    async with start_gateway() as served, served.connect() as socket:
        error = json.loads(await socket.recv())["error"]
        assert error["code"] == code
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == close


async def test_sessions_beyond_the_limit_are_refused_and_the_others_go_on(start_gateway: StartGateway) -> None:
    async with start_gateway(max_sessions=1) as served, served.connect() as first:
        talker = Talker(first)
        await talker.until("session.created")
        async with served.connect() as second:
            assert json.loads(await second.recv())["error"]["code"] == "rate_limit_exceeded"
        await talker.send("response.create")
        await talker.until("response.done")


async def test_a_client_that_stops_reading_is_closed_and_its_work_stopped(
    fake: FakeOrchestrator, start_gateway: StartGateway
) -> None:
    fake.script.chunk_count = 3000  # ten minutes of sound: 38 MB, more than all buffers on the way
    async with start_gateway(slow_reader_s=0.5) as served:
        socket = await served.connect(max_queue=1)
        await socket.send(json.dumps({"type": "response.create"}))
        await until(lambda: fake.conversations)
        await asyncio.wait_for(fake.conversations[0].cancelled.wait(), 8)
        async with served.connect() as other:
            talker = Talker(other)
            fake.script.chunk_count = 3
            await talker.send("response.create")
            await talker.until("response.done")
        socket.transport.abort()


async def test_a_client_that_reads_slowly_gets_everything(fake: FakeOrchestrator, start_gateway: StartGateway) -> None:
    fake.script.chunk_count = 300
    async with start_gateway(slow_reader_s=5.0) as served, served.connect(max_queue=1) as socket:
        await socket.send(json.dumps({"type": "response.create"}))
        await asyncio.sleep(0.5)
        talker = Talker(socket)
        await talker.until("response.done")
    assert talker.kinds.count("response.output_audio.delta") == 300


async def test_a_shutdown_lets_the_answer_finish_and_says_goodbye(
    fake: FakeOrchestrator, start_gateway: StartGateway
) -> None:
    fake.script.waits_before_end = asyncio.Event()
    async with start_gateway(drain_s=3.0) as served, served.connect() as socket:
        talker = Talker(socket)
        await talker.send("response.create")
        await talker.until("response.output_audio.delta")
        served.gateway.draining.set()
        await asyncio.sleep(0.1)
        fake.script.waits_before_end.set()
        await talker.until("response.done")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await talker.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


async def test_a_session_ends_after_its_time_with_a_reason(start_gateway: StartGateway) -> None:
    async with start_gateway(session_s=0.3) as served, served.connect() as socket:
        talker = Talker(socket)
        error = (await talker.until("error"))["error"]
        assert error["code"] == "session_expired"  # type: ignore[index]
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await talker.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


async def test_a_configuration_that_the_conversation_refuses_is_not_in_effect(
    talker: Talker, fake: FakeOrchestrator
) -> None:
    held = fake.conversations[0]
    take = held.take

    async def refuse_configure(request: wire.ConverseRequest) -> None:
        if request.HasField("configure"):
            refusal = status(grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_BAD_INPUT", "no")
            held.fail(refusal, request.client_event_id)
            return
        await take(request)

    held.take = refuse_configure  # type: ignore[method-assign]
    await talker.send("session.update", session={"output_modalities": ["text"]}, event_id="u1")
    error = (await talker.until("error"))["error"]
    assert error["event_id"] == "u1"  # type: ignore[index]
    await talker.send("response.create")
    done = await talker.until("response.done")
    assert done["response"]["output_modalities"] == ["audio"]  # type: ignore[index]


async def test_a_closed_gateway_lets_go_of_its_threads() -> None:
    from vita_gateway.settings import Settings

    gateway = Gateway(Settings("127.0.0.1:1"))
    await gateway.close()
    with pytest.raises(RuntimeError):
        await gateway.media.run(lambda: None)
