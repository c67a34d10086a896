"""A Realtime session from end to end: real WebSocket, real gRPC, a scripted conversation."""

from __future__ import annotations

import asyncio
import base64
import json

import numpy as np
import openai
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import item_pb2
from vita_gateway.realtime.configuration import EAGERNESS_SILENCE_MS, SemanticVad
from vita_orchestrator.endpointing import EndpointingLimits

from tests.gateway.fake_orchestrator import SOUND, WORDS, FakeOrchestrator
from tests.gateway.running import Event, Running, Talker, picture, until

pytestmark = pytest.mark.unit

SAID = "".join(WORDS)
STRICT: TypeAdapter[RealtimeServerEvent] = TypeAdapter(RealtimeServerEvent)
# Null only where clients expect it: strict ones drop an event that has it elsewhere.
NULLABLE = {
    "previous_item_id", "status_details", "usage", "metadata", "conversation_id", "tracing", "include",
    "noise_reduction", "transcription", "turn_detection",
}  # fmt: skip


def pcm(ms: int, level: int = 4000) -> str:
    """Return base64 of a tone at 24 kHz."""
    times = np.arange(24 * ms) / 24_000
    return base64.b64encode((level * np.sin(2 * np.pi * 200 * times)).astype("<i2").tobytes()).decode()


def nulls(value: object, name: str = "") -> list[str]:
    """Return the names of fields that are null and must not be."""
    if value is None:
        return [] if name in NULLABLE else [name]
    if isinstance(value, dict):
        return [null for key, inner in value.items() for null in nulls(inner, key)]
    if isinstance(value, list):
        return [null for inner in value for null in nulls(inner, name)]
    return []


def check(events: list[Event]) -> None:
    """Check every event as the strictest client would."""
    for event in events:
        STRICT.validate_python(event)
        assert event["event_id"]
        assert not nulls(event), event


async def ask_by_hand(talker: Talker, question_ms: int = 300) -> None:
    """Switch turn detection off, speak, and ask for the answer."""
    audio = {"input": {"turn_detection": None}}
    await talker.send("session.update", session={"type": "realtime", "audio": audio})
    await talker.send("input_audio_buffer.append", audio=pcm(question_ms))
    await talker.send("input_audio_buffer.commit")
    await talker.send("response.create")
    await talker.until("response.done")


async def test_the_session_comes_first_and_whole(served: Running) -> None:
    async with served.connect("?model=anything") as socket:
        created = json.loads(await socket.recv())
    assert created["type"] == "session.created"
    session = created["session"]
    assert session["id"].startswith("sess_")
    assert session["model"] == "anything"
    assert session["instructions"] == "Be brief."
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is True
    check([created])


async def test_events_of_a_whole_turn_come_in_the_order_that_clients_depend_on(talker: Talker) -> None:
    await ask_by_hand(talker)
    without_deltas = [kind for kind in talker.kinds if not kind.endswith(".delta")]
    assert without_deltas == [
        "session.created",
        "session.updated",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    check(talker.events)


async def test_sound_and_words_arrive_as_they_were_made(talker: Talker) -> None:
    await ask_by_hand(talker)
    sound = b"".join(
        base64.b64decode(str(event["delta"]))
        for event in talker.events
        if event["type"] == "response.output_audio.delta"
    )
    assert sound == SOUND * 3
    words = [event["delta"] for event in talker.events if event["type"] == "response.output_audio_transcript.delta"]
    assert "".join(map(str, words)) == SAID
    done = talker.events[-1]["response"]
    assert isinstance(done, dict)
    assert done["status"] == "completed"
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": SAID}]
    assert done["usage"]["total_tokens"] == 37
    assert done["vita"]["first_audio_ms"] == 120
    assert done["vita"]["query_state"] == "speech"


async def test_microphone_sound_reaches_the_conversation_at_16_khz_in_small_pieces(
    talker: Talker, fake: FakeOrchestrator
) -> None:
    await ask_by_hand(talker, 950)
    held = fake.conversations[0]
    assert len(held.heard) == pytest.approx(950 * 32, abs=8)
    assert max(len(request.audio.samples) for request in held.requests) <= 3200
    heard = np.frombuffer(held.heard, "<i2")[1600:-1600].astype(float)
    assert np.abs(heard).max() == pytest.approx(4000, rel=0.02)


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
async def test_telephone_sound_goes_both_ways(talker: Talker, fake: FakeOrchestrator, name: str) -> None:
    side = {"format": {"type": name}}
    audio = {"input": {**side, "turn_detection": None}, "output": side}
    await talker.send("session.update", session={"type": "realtime", "audio": audio})
    silence = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}[name]
    await talker.send("input_audio_buffer.append", audio=base64.b64encode(silence * 8 * 400).decode())
    await talker.send("input_audio_buffer.commit")
    await talker.send("response.create")
    await talker.until("response.done")
    held = fake.conversations[0]
    assert len(held.heard) == pytest.approx(400 * 32, abs=8)
    assert np.abs(np.frombuffer(held.heard, "<i2")).max() <= 16
    sound = [event["delta"] for event in talker.events if event["type"] == "response.output_audio.delta"]
    total = sum(len(base64.b64decode(str(delta))) for delta in sound)
    assert total == pytest.approx(600 * 8, abs=4)
    check(talker.events)


async def test_a_spoken_turn_found_by_the_conversation_is_told_in_order(talker: Talker, fake: FakeOrchestrator) -> None:
    held = fake.conversations[0]
    held.say(speech_started=wire.SpeechStarted(item_id="item_a", audio_start_ms=120))
    held.say(speech_stopped=wire.SpeechStopped(item_id="item_a", audio_end_ms=900))
    sound = item_pb2.ContentPart(audio={"transcript": ""})  # type: ignore[arg-type]
    item = item_pb2.Item(item_id="item_a", role=item_pb2.ROLE_USER, parts=[sound])
    held.say(item_added=wire.ItemAdded(item=item))  # before `committed`: clients want it the other way round
    held.say(audio_committed=wire.AudioCommitted(item_id="item_a"))
    held.start("resp_x")
    held.say(text_delta=wire.TextDelta(response_id="resp_x", text="Yes"))
    held.sound("resp_x", 0)
    held.say(output_held=wire.OutputHeld(response_id="resp_x"))
    held.say(speech_started=wire.SpeechStarted(item_id="item_b", audio_start_ms=2000))
    held.end("resp_x", wire.RESPONSE_OUTCOME_INTERRUPTED)
    held.say(text_delta=wire.TextDelta(response_id="resp_x", text="stale"))
    done = await talker.until("response.done")
    assert talker.kinds[1:7] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    response = done["response"]
    assert isinstance(response, dict)
    assert response["status"] == "cancelled"
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert response["output"][0]["status"] == "incomplete"
    assert talker.kinds.count("response.output_item.done") == 1
    check(talker.events)


async def test_noise_is_a_response_without_output(talker: Talker, fake: FakeOrchestrator) -> None:
    held = fake.conversations[0]
    held.start("resp_x")
    held.end("resp_x", wire.RESPONSE_OUTCOME_IGNORED)
    done = await talker.until("response.done")
    assert talker.kinds == ["session.created", "response.created", "response.done"]
    response = done["response"]
    assert isinstance(response, dict)
    assert response["output"] == []
    assert response["vita"]["outcome"] == "ignored"


async def test_items_keep_their_ids_and_places(talker: Talker, fake: FakeOrchestrator) -> None:
    first = {"type": "message", "role": "user", "id": "mine", "content": [{"type": "input_text", "text": "hello"}]}
    url = f"data:image/jpeg;base64,{base64.b64encode(picture('JPEG')).decode()}"
    second = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}
    clip = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": pcm(400)}]}
    answer = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    system = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]}
    for item in (first, second, clip, answer, system):
        await talker.send("conversation.item.create", item=item)
        await talker.until("conversation.item.done")
    added = [event for event in talker.events if event["type"] == "conversation.item.added"]
    assert added[0]["item"]["id"] == "mine"  # type: ignore[index]
    assert added[0]["previous_item_id"] is None
    assert added[1]["previous_item_id"] == "mine"
    created = [request.create_item.item for request in fake.conversations[0].requests]
    assert created[1].parts[0].image.content == picture("JPEG")
    assert len(created[2].parts[0].audio.samples) == pytest.approx(400 * 32, abs=8)
    check(talker.events)


async def test_items_can_be_retrieved_cut_and_deleted(talker: Talker) -> None:
    item = {"type": "message", "role": "user", "id": "mine", "content": [{"type": "input_text", "text": "hello"}]}
    await talker.send("conversation.item.create", item=item)
    await talker.send("conversation.item.retrieve", item_id="mine")
    await talker.send("conversation.item.truncate", item_id="mine", content_index=0, audio_end_ms=300)
    await talker.send("conversation.item.delete", item_id="mine")
    await talker.until("conversation.item.deleted")
    cut = next(event for event in talker.events if event["type"] == "conversation.item.truncated")
    assert cut["audio_end_ms"] == 300
    retrieved = next(event for event in talker.events if event["type"] == "conversation.item.retrieved")
    assert retrieved["item"]["content"] == [{"type": "input_text", "text": "hello"}]  # type: ignore[index]
    check(talker.events)


async def test_metadata_come_back_and_settings_hold_for_one_response(talker: Talker, fake: FakeOrchestrator) -> None:
    wanted = {"metadata": {"client_event_id": "a1"}, "output_modalities": ["text"], "instructions": "Shout."}
    await talker.send("response.create", response=wanted)
    done = await talker.until("response.done")
    created = next(event for event in talker.events if event["type"] == "response.created")
    for event in (created, done):
        response = event["response"]
        assert isinstance(response, dict)
        assert response["metadata"] == {"client_event_id": "a1"}
        assert response["output_modalities"] == ["text"]
    assert "response.output_text.delta" in talker.kinds
    assert "response.output_audio.delta" not in talker.kinds
    told = fake.conversations[0].requests[0].create_response.configuration
    assert (told.instructions, told.modality) == ("Shout.", wire.MODALITY_TEXT)
    check(talker.events)


async def test_a_response_can_be_cancelled_and_only_once(talker: Talker, fake: FakeOrchestrator) -> None:
    fake.conversations[0].script.waits_before_end = asyncio.Event()
    await talker.send("response.create")
    await talker.until("response.output_audio.delta")
    await talker.send("response.cancel")
    done = await talker.until("response.done")
    assert done["response"]["status_details"]["reason"] == "client_cancelled"  # type: ignore[index]
    await talker.send("response.cancel", event_id="c2")
    error = (await talker.until("error"))["error"]
    assert isinstance(error, dict)
    assert error["code"] == "response_cancel_not_active"
    assert error["message"].startswith("Cancellation failed")
    assert error["event_id"] == "c2"


async def test_a_cancel_before_the_response_has_begun_still_ends_it(talker: Talker, fake: FakeOrchestrator) -> None:
    await talker.send("response.create", response={"metadata": {"n": "1"}})
    await talker.send("response.cancel")
    done = await talker.until("response.done", "error")
    assert done["type"] in ("response.done", "error")
    await talker.send("response.create", response={"metadata": {"n": "2"}})
    await talker.until("response.created")


async def test_turn_detection_is_replaced_and_not_merged(talker: Talker, fake: FakeOrchestrator) -> None:
    server = {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 900, "create_response": False}
    semantic = {"type": "semantic_vad", "eagerness": "high", "interrupt_response": False}
    for wanted in (server, semantic, None):
        audio = {"input": {"turn_detection": wanted}}
        await talker.send("session.update", session={"type": "realtime", "audio": audio})
        await talker.until("session.updated")
    told = [request.configure.configuration.turn_detection for request in fake.conversations[0].requests]
    assert told[0].threshold == pytest.approx(0.7)
    assert told[0].silence_duration_ms == 900
    assert not told[0].is_response_created
    assert told[1].silence_duration_ms == 300
    assert [turns.unfinished_silence_duration_ms for turns in told[:2]] == [0, 900]
    assert told[1].threshold == pytest.approx(0.5)
    assert not told[1].is_response_interrupted
    assert not told[2].is_enabled
    semantic_echo = talker.events[2]["session"]["audio"]["input"]["turn_detection"]  # type: ignore[index]
    assert "threshold" not in semantic_echo
    check(talker.events)


def test_without_a_wish_meaning_ends_a_turn_as_it_is_evaluated_and_nobody_is_waited_for_longer() -> None:
    limits = EndpointingLimits()
    assert SemanticVad(type="semantic_vad").eagerness == "auto"
    assert EAGERNESS_SILENCE_MS["auto"] == EAGERNESS_SILENCE_MS["medium"] == (limits.silence_ms, limits.unfinished_ms)
    assert max(unfinished_ms for _, unfinished_ms in EAGERNESS_SILENCE_MS.values()) == limits.unfinished_ms


async def test_what_stock_clients_send_at_the_start_is_taken(talker: Talker) -> None:
    sessions = [
        {"type": "realtime", "tracing": "auto"},
        {
            "type": "realtime", "instructions": "", "voice": "ash", "speed": 1.0, "tools": [], "tool_choice": "auto",
            "max_output_tokens": "inf", "modalities": ["text", "audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": None,
                    "transcription": {"model": "gpt-4o-mini-transcribe"},
                    "turn_detection": {"type": "semantic_vad", "eagerness": "medium", "interrupt_response": True},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
            },
        },
    ]  # fmt: skip
    for session in sessions:
        await talker.send("session.update", session=session)
        await talker.until("session.updated")
    updated = talker.events[-1]["session"]
    assert isinstance(updated, dict)
    assert updated["instructions"] == ""
    assert updated["output_modalities"] == ["audio"]
    check(talker.events)


async def test_camera_frames_travel_beside_the_sound(talker: Talker, fake: FakeOrchestrator) -> None:
    frame = base64.b64encode(picture("JPEG")).decode()
    await talker.send("input_audio_buffer.append", audio=pcm(100), video_frames=[frame])
    await until(lambda: fake.conversations[0].events("image"))
    assert fake.conversations[0].events("image")[0].content == picture("JPEG")  # type: ignore[attr-defined]


async def test_openais_client_holds_a_conversation(served: Running) -> None:
    api = openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none")
    async with api, api.realtime.connect(model="vita") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        )
        await connection.response.create()
        words = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                words += event.delta
            if event.type == "response.done":
                break
    assert words == SAID


async def test_a_client_that_vanishes_cancels_the_conversation_at_once(served: Running, fake: FakeOrchestrator) -> None:
    fake.script.waits_before_end = asyncio.Event()
    socket = await served.connect()
    talker = Talker(socket)
    await talker.send("response.create")
    await talker.until("response.output_audio.delta")
    socket.transport.abort()
    await asyncio.wait_for(fake.conversations[0].cancelled.wait(), 1)


async def test_a_session_can_be_resumed_by_its_id(served: Running, fake: FakeOrchestrator) -> None:
    async with served.connect() as socket:
        session_id = json.loads(await socket.recv())["session"]["id"]
    async with served.connect(f"?session_id={session_id}") as socket:
        assert json.loads(await socket.recv())["session"]["id"] == session_id
    assert fake.openings[1].session_id == session_id
