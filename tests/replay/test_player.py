"""The replayed client: in its recorded time, and never before it has seen what it had seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.conversation_service_pb2_grpc import (
    ConversationServiceServicer,
    add_ConversationServiceServicer_to_server,
)
from vita.media.v1.media_pb2 import AudioChunk
from vita.recording.v1.recording_pb2 import (
    EDGE_CONVERSATION,
    EDGE_INSIDE,
    KIND_OBSERVED,
    KIND_REPLY,
    KIND_REQUEST,
    Record,
)
from vita_replay import player
from vita_replay.clock import FasterLoop
from vita_replay.player import Player, script_of
from vita_replay.tape import ReplayTape

pytestmark = pytest.mark.unit

HELD = wire.ConverseResponse(output_held=wire.OutputHeld(response_id="resp_1"))


def sound(samples: bytes) -> wire.ConverseResponse:
    return wire.ConverseResponse(
        answer_audio=wire.AnswerAudio(response_id="resp_1", audio=AudioChunk(samples=samples, sample_rate_hz=24_000))
    )


def asked(at_ms: int, **event: Any) -> Record:
    content = wire.ConverseRequest(**event).SerializeToString()
    return Record(time_ns=at_ms * 1_000_000, edge=EDGE_CONVERSATION, kind=KIND_REQUEST, content=content)


def said(at_ms: int, event: wire.ConverseResponse) -> Record:
    return Record(time_ns=at_ms * 1_000_000, edge=EDGE_CONVERSATION, kind=KIND_REPLY, content=event.SerializeToString())


class Service(ConversationServiceServicer):
    """Opens, and does as the test says; notes when requests came, in s from the first of them."""

    def __init__(self, answer: Callable[[Any], AsyncIterator[wire.ConverseResponse]]) -> None:
        self.answer = answer
        self.came: list[tuple[str, float]] = []

    async def Converse(self, request_iterator: Any, context: Any) -> None:
        await anext(aiter(request_iterator))
        await context.write(wire.ConverseResponse(opened=wire.Opened(session_id="sess_1")))
        started_s = asyncio.get_running_loop().time()

        async def answer() -> None:
            async for event in self.answer(self):
                await context.write(event)

        answering = asyncio.create_task(answer())
        async for request in request_iterator:
            self.came.append((request.WhichOneof("event"), asyncio.get_running_loop().time() - started_s))
        await answering


@dataclass
class Noticed:
    service: Service
    marks: list[str] = field(default_factory=list)

    def start(self) -> None:
        assert self.service.came == []
        self.marks.append("start")

    async def heard(self, request_count: int) -> None:
        await asyncio.sleep(0.05)
        assert len(self.service.came) == request_count
        self.marks.append("heard")

    def end(self) -> None:
        assert self.marks == ["start", "heard"]


@asynccontextmanager
async def served(service: Service) -> AsyncGenerator[str]:
    server = grpc.aio.server()
    add_ConversationServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def nothing(service: Service) -> AsyncIterator[wire.ConverseResponse]:
    for event in ():
        yield event


async def played(records: list[Record], service: Service) -> Player:
    one = Player(script_of(records), asyncio.get_running_loop().time)
    async with served(service) as address:
        await one.play(address, wire.Open(session_id="sess_1"), Noticed(service))
    return one


async def test_requests_keep_their_recorded_times() -> None:
    service = Service(nothing)
    await played([asked(at_ms, commit_audio=wire.CommitAudio()) for at_ms in (0, 100, 300)], service)
    times = [at_s for _, at_s in service.came]
    assert [round(at_s, 1) for at_s in times] == [0.0, 0.1, 0.3]


async def test_a_request_waits_for_the_events_it_had_seen_and_those_after_it_are_later_by_as_much() -> None:
    async def answer(service: Service) -> AsyncIterator[wire.ConverseResponse]:
        await asyncio.sleep(0.3)
        yield HELD

    records = [said(50, HELD), asked(100, interrupt=wire.Interrupt()), asked(200, clear_audio=wire.ClearAudio())]
    service = Service(answer)
    await played(records, service)
    assert [round(at_s, 1) for _, at_s in service.came] == [0.3, 0.4]


async def test_a_request_waits_for_as_much_sound_however_it_is_cut() -> None:
    async def answer(service: Service) -> AsyncIterator[wire.ConverseResponse]:
        yield sound(b"0123")
        await asyncio.sleep(0.2)
        assert service.came == []
        yield sound(b"4567")

    service = Service(answer)
    await played([said(0, sound(b"012345")), asked(10, interrupt=wire.Interrupt())], service)
    assert [round(at_s, 1) for _, at_s in service.came] == [0.2]


async def test_what_never_comes_is_waited_for_once_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "STALL_S", 0.2)
    records = [said(0, HELD), *(asked(at_ms, interrupt=wire.Interrupt()) for at_ms in (10, 20, 30))]
    service = Service(nothing)
    one = await played(records, service)
    assert len(service.came) == 3
    assert service.came[-1][1] < 0.35
    assert one.waited_in_vain == "output_held of resp_1"


async def test_nothing_more_is_waited_for_of_a_response_that_is_over() -> None:
    async def answer(service: Service) -> AsyncIterator[wire.ConverseResponse]:
        yield wire.ConverseResponse(response_done=wire.ResponseDone(response_id="resp_1"))

    service = Service(answer)
    one = await played([said(0, HELD), said(0, sound(b"01")), asked(10, interrupt=wire.Interrupt())], service)
    assert [round(at_s, 1) for _, at_s in service.came] == [0.0]
    assert one.waited_in_vain == ""


def test_at_speed_ten_a_second_of_waiting_takes_a_tenth() -> None:
    async def wait() -> float:
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(1.0)
        return asyncio.get_running_loop().time() - began_s

    began_s = time.monotonic()
    with asyncio.Runner(loop_factory=lambda: FasterLoop(10)) as runner:
        waited_s = runner.run(wait())
    assert waited_s == pytest.approx(1.0, abs=0.1)
    assert time.monotonic() - began_s < 0.3


def observed(name: str, value: str) -> Record:
    return Record(edge=EDGE_INSIDE, kind=KIND_OBSERVED, name=name, content=value.encode())


def test_chance_and_the_clock_say_what_they_said_in_order_and_then_what_they_say_now() -> None:
    tape = ReplayTape([observed("seed", "7"), observed("id/item", "item_a"), observed("seed", "9")], lambda: 0.0)
    assert [tape.observe("seed", 1), tape.observe("id/item", "item_x"), tape.observe("seed", 2)] == [7, "item_a", 9]
    assert tape.fresh == []
    assert tape.observe("seed", 3) == 3
    assert tape.fresh == ["seed"]


def test_a_replay_is_noted_like_a_recording_and_ends_where_that_ended() -> None:
    now_s = [5.0]
    tape = ReplayTape([observed("seed", "7")], lambda: now_s[0])
    tape.note(EDGE_CONVERSATION, KIND_REQUEST, wire.ConverseRequest())
    tape.start()
    now_s[0] = 5.5
    tape.note(EDGE_CONVERSATION, KIND_REPLY, HELD)
    tape.observe("seed", 1)
    tape.end()
    tape.note(EDGE_CONVERSATION, KIND_REPLY, HELD)
    first, second = tape.records()
    assert (first.time_ns, first.type) == (500_000_000, "vita.conversation.v1.ConverseResponse")
    assert wire.ConverseResponse.FromString(first.content) == HELD
    assert (second.name, second.content) == ("seed", b"7")
