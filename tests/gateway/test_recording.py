"""The client's edge of a recording: kept by the gateway, told to the conversation after each answer, and bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1 import recording_pb2 as pb
from vita_gateway import client_edge
from vita_gateway.client_edge import ClientEdge
from vita_gateway.settings import Settings
from vita_recordings.bundle import Bundle, read
from vita_recordings.consent import Consent, Recordings
from vita_recordings.writer import Writer

from tests.fakes.components import FakeComponents
from tests.gateway.fake_orchestrator import FakeOrchestrator
from tests.gateway.running import Running, Talker, running
from tests.orchestrator.test_servicer import edge
from tests.stack import wait_until

pytestmark = pytest.mark.unit

QUESTION = {"model": "vita", "messages": [{"role": "user", "content": "What do you see?"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    one = Writer(folder)
    yield one
    one.close()


@pytest.fixture
async def recorded(tmp_path: Path, writer: Writer) -> AsyncIterator[Running]:
    """A gateway before the real orchestrator, which records whoever asks for it."""
    fakes = FakeComponents.answering(*["A red circle."] * 4)
    settings = Settings(f"unix:{tmp_path}/edge.sock", drain_s=0.1)
    async with edge(tmp_path, fakes, tapes=Recordings(Consent(), writer)), running(settings) as one:
        yield one


async def only_bundle(folder: Path) -> Bundle:
    """Wait for the one recording there should be."""

    def found() -> Bundle:
        wait_until(lambda: any(folder.glob("*.vita.zip")), 5, "a recording")
        (path,) = folder.glob("*.vita.zip")
        return read(path)

    return await asyncio.to_thread(found)


def at_the_client(bundle: Bundle, kind: pb.Kind) -> list[pb.Record]:
    return [record for record in bundle.records if record.edge == pb.EDGE_CLIENT and record.kind == kind]


async def test_a_realtime_turn_holds_what_its_client_sent_and_was_sent(recorded: Running, folder: Path) -> None:
    async with recorded.connect("?model=vita&recording=full") as socket:
        talker = Talker(socket)
        await talker.until("session.created")
        await talker.send("session.update", session={"type": "realtime", "output_modalities": ["text"]})
        part = {"type": "input_text", "text": "What do you see?"}
        item = {"type": "message", "role": "user", "content": [part]}
        await talker.send("conversation.item.create", item=item)
        await talker.send("response.create")
        await talker.until("response.done")
        bundle = await only_bundle(folder)
    sent = [json.loads(record.content)["type"] for record in at_the_client(bundle, pb.KIND_REQUEST)]
    heard = [json.loads(record.content)["type"] for record in at_the_client(bundle, pb.KIND_REPLY)]
    assert sent[-2:] == ["conversation.item.create", "response.create"]
    assert heard[-1] == "response.done"
    assert "response.output_text.delta" in heard
    assert [record.time_ns for record in bundle.records] == sorted(record.time_ns for record in bundle.records)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_completion_holds_its_request_and_all_of_its_answer(
    recorded: Running, folder: Path, is_streamed: bool
) -> None:
    async with httpx.AsyncClient(base_url=recorded.url, timeout=10) as client:
        body = {**QUESTION, "stream": is_streamed}
        answer = await client.post("/v1/chat/completions", json=body, headers={"x-vita-recording": "full"})
    bundle = await only_bundle(folder)
    (request,) = at_the_client(bundle, pb.KIND_REQUEST)
    assert json.loads(request.content) == body
    assert request.time_ns < 0, "the question came before the conversation was open"
    replies = b"".join(record.content for record in at_the_client(bundle, pb.KIND_REPLY))
    assert replies == answer.content


async def test_a_wish_that_is_none_is_refused(recorded: Running, folder: Path) -> None:
    async with httpx.AsyncClient(base_url=recorded.url) as client:
        answer = await client.post("/v1/chat/completions", json=QUESTION, headers={"x-vita-recording": "yes"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-vita-recording"
    assert not await asyncio.to_thread(folder.exists)


async def test_a_conversation_that_is_not_recorded_is_told_nothing(talker: Talker, fake: FakeOrchestrator) -> None:
    await talker.send("response.create")
    await talker.until("response.done")
    await talker.send("input_audio_buffer.clear")
    await talker.until("input_audio_buffer.cleared")
    assert not any(conversation.events("client_records") for conversation in fake.conversations)


def kept(one: ClientEdge) -> list[bytes]:
    return [record.content for record in one.parcel().client_records.records]


def test_of_a_long_silence_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_edge, "MAX_BYTES", 3 * (client_edge.NOTE_BYTES + 1))
    one = ClientEdge()
    one.open(wire.Opened(recording=pb.FORM_FULL))
    for content in "abcde":
        one.received(content)
    assert kept(one) == [b"c", b"d", b"e"]
    one.received("f")
    assert kept(one) == [b"f"], "what was told is not told again"


def test_what_is_not_recorded_is_not_kept() -> None:
    one = ClientEdge()
    one.received("before anybody knew")
    one.open(wire.Opened())
    one.received("after")
    assert kept(one) == []
