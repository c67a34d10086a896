"""The gRPC edge, over a real gRPC server with fake components."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import conversation_service_pb2_grpc as service
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item
from vita_orchestrator.patience import Outages
from vita_orchestrator.policy import Policy
from vita_orchestrator.servicer import ConversationServicer
from vita_orchestrator.surroundings import Surroundings
from vita_recordings.recorder import Tapes
from vita_runtime import keepalive
from vita_runtime.errors import StoreUnavailable
from vita_sessions.memory_store import MemoryStore

from tests.fakes.components import FakeComponents
from tests.orchestrator.talk import LoudVoiceActivity, chunk

pytestmark = pytest.mark.unit

ASK = wire.ConverseRequest(
    create_item=wire.CreateItem(item=Item(role=ROLE_USER, parts=[ContentPart(text="What do you see?")]))
)
ANSWER = wire.ConverseRequest(create_response=wire.CreateResponse())


class LostStore(MemoryStore):
    """A store that is away."""

    async def ping(self) -> None:
        raise StoreUnavailable("the session store is not reachable")

    async def create(self, session: object, owner: str) -> object:  # type: ignore[override]
        raise StoreUnavailable("the session store is not reachable")


class Edge:
    """A server, its servicer, and calls to it."""

    def __init__(self, servicer: ConversationServicer, stub: service.ConversationServiceStub) -> None:
        self.servicer = servicer
        self.stub = stub

    async def converse(self, *requests: wire.ConverseRequest) -> list[wire.ConverseResponse]:
        return [response async for response in self.stub.Converse(iter(requests))]

    async def refusal(self, *requests: wire.ConverseRequest) -> tuple[grpc.StatusCode, str]:
        """The code and reason with which a stream ends."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.converse(*requests)
        details = dict(caught.value.trailing_metadata() or ()).get("grpc-status-details-bin")
        assert details is not None, f"a bare {caught.value.code()}: {caught.value.details()}"
        info = ErrorInfo()
        Status.FromString(bytes(details)).details[0].Unpack(info)
        return caught.value.code(), info.reason


@asynccontextmanager
async def edge(
    tmp_path: Path,
    fakes: FakeComponents,
    store: MemoryStore | None = None,
    *,
    max_sessions: int = 4,
    options: keepalive.Options = (),
    tapes: Tapes | None = None,
) -> AsyncGenerator[Edge]:
    numbers = itertools.count(1)
    surroundings = Surroundings(
        components=fakes.components,
        outages=Outages(asyncio.get_running_loop().time),
        policy=Policy(),
        new_voice_activity=LoudVoiceActivity,
        new_id=lambda kind: f"{kind}_{next(numbers)}",
        draw_seed=lambda: 7,
    )
    servicer = ConversationServicer(
        surroundings, store or MemoryStore(), max_sessions=max_sessions, owner="test", tapes=tapes
    )
    server = grpc.aio.server(options=options)
    service.add_ConversationServiceServicer_to_server(servicer, server)
    address = f"unix:{tmp_path}/edge.sock"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Edge(servicer, service.ConversationServiceStub(channel))
    finally:
        await server.stop(None)


def opening(**fields: object) -> wire.ConverseRequest:
    configuration = wire.SessionConfiguration(is_paced=False)
    return wire.ConverseRequest(open=wire.Open(**{"tenant_id": "t", "configuration": configuration, **fields}))  # type: ignore[arg-type]


def kinds(responses: Iterable[wire.ConverseResponse]) -> list[str]:
    return [kind for kind, _ in itertools.groupby(response.WhichOneof("event") for response in responses)]


async def test_a_question_asked_and_half_closed_is_answered_to_its_end(tmp_path: Path) -> None:
    async with edge(tmp_path, FakeComponents.answering("A red circle.")) as it:
        responses = await it.converse(opening(is_ephemeral=True), ASK, ANSWER)
    assert kinds(responses)[0] == "opened"
    assert kinds(responses)[-1] == "response_done"
    assert [response.sequence_number for response in responses] == list(range(1, len(responses) + 1))
    assert responses[-1].response_done.outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_a_session_is_resumed_with_its_items_by_another_stream(tmp_path: Path) -> None:
    fakes = FakeComponents.answering("A red circle.", "Still red.")
    async with edge(tmp_path, fakes) as it:
        first = await it.converse(opening(), ASK, ANSWER)
        session_id = first[0].opened.session_id
        second = await it.converse(opening(session_id=session_id), ASK, ANSWER)
    assert second[0].opened.is_resumed
    assert [role for role, _ in fakes.llm.contexts[-1].turns()] == ["system", "user", "assistant", "user", "assistant"]
    assert second[0].sequence_number > first[-1].sequence_number


async def test_a_session_of_another_tenant_is_not_found(tmp_path: Path) -> None:
    async with edge(tmp_path, FakeComponents.answering("Yes.")) as it:
        session_id = (await it.converse(opening(), ASK, ANSWER))[0].opened.session_id
        refusal = await it.refusal(opening(session_id=session_id, tenant_id="other"))
    assert refusal == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_NOT_FOUND")


async def test_a_stream_that_does_not_open_first_is_ended(tmp_path: Path) -> None:
    async with edge(tmp_path, FakeComponents.answering("Yes.")) as it:
        refusal = await it.refusal(wire.ConverseRequest(audio=chunk(b"\0\0" * 160)))
    assert refusal == (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_OUT_OF_ORDER")


async def test_beyond_capacity_a_stream_is_refused_at_the_door(tmp_path: Path) -> None:
    async with edge(tmp_path, FakeComponents.answering("Yes."), max_sessions=0) as it:
        refusal = await it.refusal(opening())
    assert refusal == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_AT_CAPACITY")


@pytest.mark.parametrize("is_ephemeral", [False, True])
async def test_without_a_store_new_sessions_are_refused(tmp_path: Path, is_ephemeral: bool) -> None:
    async with edge(tmp_path, FakeComponents.answering("Yes."), LostStore()) as it:
        refusal = await it.refusal(opening(is_ephemeral=is_ephemeral))
    assert refusal == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_STORE_UNAVAILABLE")


async def test_draining_ends_open_streams_and_refuses_new_ones(tmp_path: Path) -> None:
    async with edge(tmp_path, FakeComponents.answering("Yes.")) as it:
        call = it.stub.Converse()
        await call.write(opening())
        assert (await call.read()).HasField("opened")
        it.servicer.drain(1000)
        ending = await call.read()
        assert ending.session_ending.session_id.startswith("sess_")
        assert await call.read() == grpc.aio.EOF
        assert (await it.refusal(opening()))[1] == "ERROR_REASON_DRAINING"


async def test_a_client_that_vanishes_stops_the_work_of_its_turn(tmp_path: Path) -> None:
    fakes = FakeComponents.answering("word " * 200)
    async with edge(tmp_path, fakes) as it:
        call = it.stub.Converse()
        for request in (opening(), ASK, ANSWER):
            await call.write(request)
        while not (await call.read()).HasField("text_delta"):
            pass
        call.cancel()
        await asyncio.sleep(0.2)
        stopped_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0.3)
        assert fakes.bench.work_after(stopped_s) == []
        assert fakes.bench.live == 0
        assert fakes.llm.live == []
        assert it.servicer.session_count == 0


async def test_a_client_that_stops_reading_is_let_go(tmp_path: Path) -> None:
    fakes = FakeComponents.answering("word " * 400)
    fakes.speech_decoder.code_s = fakes.speech_decoder.first_s = fakes.codec_decoder.window_s = 0.0
    fakes.llm.token_s = 0.0
    async with edge(tmp_path, fakes) as it:
        object.__setattr__(it.servicer._surroundings, "policy", Policy(client_stall_s=0.3))
        call = it.stub.Converse()
        for request in (opening(), ASK, ANSWER):
            await call.write(request)
        for _ in range(100):
            await asyncio.sleep(0.1)
            if fakes.llm.contexts and not fakes.llm.live:
                break
        assert fakes.llm.live == []
        call.cancel()
