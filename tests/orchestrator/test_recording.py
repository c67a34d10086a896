"""Recorded conversations: what a recording holds, and that a turn is the same with it, without it, and with no disk."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1 import recording_pb2 as pb
from vita_recordings import writer as writers
from vita_recordings.bundle import Bundle, read
from vita_recordings.consent import Consent, Recordings
from vita_recordings.writer import Writer

from tests.fakes.components import FakeComponents
from tests.orchestrator.talk import SILENCE, VOICE, chunk
from tests.orchestrator.test_servicer import ANSWER, ASK, Edge, edge, kinds, opening
from tests.stack import wait_until

pytestmark = pytest.mark.unit

CHUNK_MS = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    one = Writer(folder)
    yield one
    one.close()


@pytest.fixture
async def recorded(tmp_path: Path, writer: Writer) -> AsyncIterator[Edge]:
    """An orchestrator that records whoever asks for it."""
    fakes = FakeComponents.answering(*["A red circle."] * 9)
    async with edge(tmp_path, fakes, tapes=Recordings(Consent(), writer)) as it:
        yield it


async def turn(it: Edge, **fields: object) -> list[wire.ConverseResponse]:
    """Ask one question in writing."""
    return await it.converse(opening(**fields), ASK, ANSWER)


def bundles(folder: Path, count: int) -> list[Bundle]:
    """Wait for so many recordings; return them by the time of their start."""
    wait_until(lambda: len(list(folder.glob("*.vita.zip"))) >= count, 5, f"{count} recordings")
    found = [read(path) for path in folder.glob("*.vita.zip")]
    assert len(found) == count
    return sorted(found, key=lambda bundle: (bundle.manifest.started_unix_ms, len(bundle.records)))


def events(bundle: Bundle, kind: pb.Kind) -> list[str]:
    """Kinds of the conversation's messages, in order."""
    message = wire.ConverseRequest if kind == pb.KIND_REQUEST else wire.ConverseResponse
    edge_records = [r for r in bundle.records if r.edge == pb.EDGE_CONVERSATION and r.kind == kind]
    return [message.FromString(record.content).WhichOneof("event") or "" for record in edge_records]


async def test_a_turn_leaves_every_message_of_its_conversation(recorded: Edge, folder: Path) -> None:
    responses = await turn(recorded, recording=pb.FORM_FULL)
    assert responses[0].opened.recording == pb.FORM_FULL
    (bundle,) = await asyncio.to_thread(bundles, folder, 1)
    assert events(bundle, pb.KIND_REQUEST) == ["create_item", "create_response"]
    replies = events(bundle, pb.KIND_REPLY)
    assert replies[-1] == "response_done"
    assert replies[-len(responses) + 1 :] == [response.WhichOneof("event") for response in responses[1:]]
    names = [record.name for record in bundle.records if record.kind == pb.KIND_OBSERVED]
    assert {"id/turn", "id/item", "id/resp", "seed"} <= set(names)
    assert bundle.manifest.session_id == responses[0].opened.session_id
    assert [turn.outcome for turn in bundle.manifest.turns][-1] == "completed"


async def test_who_does_not_ask_is_not_recorded(recorded: Edge, folder: Path) -> None:
    responses = await turn(recorded)
    assert responses[0].opened.recording == pb.FORM_UNSPECIFIED
    await turn(recorded, recording=pb.FORM_REDACTED)
    (bundle,) = await asyncio.to_thread(bundles, folder, 1)
    assert bundle.manifest.form == pb.FORM_REDACTED


async def test_a_resumed_session_is_recorded_with_what_it_was(recorded: Edge, folder: Path) -> None:
    session_id = (await turn(recorded))[0].opened.session_id
    await turn(recorded, session_id=session_id, recording=pb.FORM_FULL)
    (bundle,) = await asyncio.to_thread(bundles, folder, 1)
    items = [entry.item for entry in bundle.snapshot.session.entries]
    assert [part.text for item in items for part in item.parts] == ["What do you see?", "A red circle."]


async def test_a_second_turn_starts_where_the_first_was_over(recorded: Edge, folder: Path) -> None:
    call = recorded.stub.Converse()

    async def hear(sample: bytes, length_ms: int) -> None:
        for _ in range(length_ms // CHUNK_MS):
            await call.write(wire.ConverseRequest(audio=chunk(sample * (CHUNK_MS * 16))))
            await asyncio.sleep(CHUNK_MS / 4000)

    async def until_done() -> None:
        while not (await call.read()).HasField("response_done"):
            pass

    await call.write(opening(recording=pb.FORM_FULL))
    for _ in range(2):
        await hear(VOICE, 640)
        await hear(SILENCE, 640)
        await until_done()
        await hear(SILENCE, 320)
    await call.done_writing()
    first, second = await asyncio.to_thread(bundles, folder, 2)
    assert [len(bundle.manifest.turns) for bundle in (first, second)] == [1, 1]
    assert not first.snapshot.session.entries
    assert len(second.snapshot.session.entries) == 2
    assert 1280 <= second.snapshot.received_ms <= 1600
    assert second.snapshot.kept_sound[:640] == VOICE * 320, "the first question is still remembered by the ear"
    assert events(second, pb.KIND_REQUEST).count("audio") >= 40
    call.cancel()


async def test_a_recorded_conversation_says_what_another_says(tmp_path: Path, recorded: Edge) -> None:
    with_it = await turn(recorded, recording=pb.FORM_FULL)
    without = await turn(recorded)

    def said(responses: list[wire.ConverseResponse]) -> list[object]:
        sound = b"".join(response.answer_audio.audio.samples for response in responses)
        return [kinds(responses), "".join(response.text_delta.text for response in responses), sound]

    assert said(with_it) == said(without)


async def test_what_the_client_saw_is_added_to_the_turn_and_ends_its_wait(recorded: Edge, folder: Path) -> None:
    call = recorded.stub.Converse()
    for request in (opening(recording=pb.FORM_FULL), ASK, ANSWER):
        await call.write(request)
    while not (response := await call.read()).HasField("response_done"):
        pass
    seen = pb.Record(time_ns=10, kind=pb.KIND_REPLY, type="application/json", content=b'{"type": "response.done"}')
    records = wire.ClientRecords(records=[seen], sent_ns=20, response_id=response.response_done.response_id)
    await call.write(wire.ConverseRequest(client_records=records))
    (bundle,) = await asyncio.to_thread(bundles, folder, 1)
    assert [record.content for record in bundle.records if record.edge == pb.EDGE_CLIENT] == [seen.content]
    assert "client_records" not in events(bundle, pb.KIND_REQUEST)
    call.cancel()


async def test_records_that_nobody_asked_for_are_passed_over(recorded: Edge) -> None:
    unasked = wire.ConverseRequest(client_records=wire.ClientRecords(response_id="none"))
    responses = await recorded.converse(opening(), unasked, ASK, ANSWER)
    assert kinds(responses)[-1] == "response_done"
    assert "failure" not in kinds(responses)


def full(*_: object, **__: object) -> Path:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_loses_recordings_and_no_turn(recorded: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = writers.RECORDINGS.labels("lost_disk")._value.get()
    monkeypatch.setattr(writers, "store", full)
    for _ in range(3):
        assert (await turn(recorded, recording=pb.FORM_FULL))[-1].HasField("response_done")
    await asyncio.to_thread(wait_until, lambda: writers.RECORDINGS.labels("lost_disk")._value.get() == lost + 3, 5, "")


async def test_a_disk_that_hangs_loses_recordings_and_no_turn(recorded: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    is_going_on = threading.Event()
    monkeypatch.setattr(writers, "store", lambda *_, **__: Path(str(is_going_on.wait(30))))
    lost = writers.RECORDINGS.labels("lost_full_queue")._value.get()
    try:
        for _ in range(writers.QUEUE_BOUND + 3):
            async with asyncio.timeout(2):
                assert (await turn(recorded, recording=pb.FORM_FULL))[-1].HasField("response_done")
        assert writers.RECORDINGS.labels("lost_full_queue")._value.get() >= lost + 2
    finally:
        is_going_on.set()
