"""The gateway before the real orchestrator, whose components are fakes: the two halves agree on the wire."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_gateway.realtime.configuration import SessionConfiguration
from vita_gateway.realtime.ledger import Ledger
from vita_gateway.realtime.translation import Translation
from vita_gateway.settings import Settings

from tests.fakes.components import FakeComponents
from tests.gateway.running import Running, Talker, picture, running, wav
from tests.orchestrator.test_servicer import edge

pytestmark = pytest.mark.unit

FRAME_MS = 20
VOICE = b"\x01\x10" * 24 * FRAME_MS
SILENCE = b"\0\0" * 24 * FRAME_MS
ANSWER = "It is a red circle. It is large, and it is in the middle of the picture."


@pytest.fixture
def fakes() -> FakeComponents:
    return FakeComponents.answering(ANSWER, "Yes, it is.", "Once more.")


@pytest.fixture
async def served(tmp_path: Path, fakes: FakeComponents) -> AsyncIterator[Running]:
    async with edge(tmp_path, fakes), running(Settings(f"unix:{tmp_path}/edge.sock", drain_s=0.1)) as one:
        yield one


async def speak(talker: Talker, voice_ms: int, silence_ms: int) -> None:
    """Speak at the pace of speech."""
    frames = [VOICE] * (voice_ms // FRAME_MS) + [SILENCE] * (silence_ms // FRAME_MS)
    for frame in frames:
        await talker.send("input_audio_buffer.append", audio=base64.b64encode(frame).decode())
        await asyncio.sleep(FRAME_MS / 1000)


async def test_a_spoken_question_about_a_picture_is_answered(http: httpx.AsyncClient) -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    sound = {"data": base64.b64encode(wav(0.6)).decode(), "format": "wav"}
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "input_audio", "input_audio": sound}]
    body = {
        "model": "vita",
        "messages": [{"role": "user", "content": content}],
        "modalities": ["text", "audio"],
        "audio": {"voice": "vita", "format": "pcm16"},
    }
    answer = (await http.post("/v1/chat/completions", json=body)).json()
    message = answer["choices"][0]["message"]
    assert message["audio"]["transcript"] == ANSWER
    assert len(base64.b64decode(message["audio"]["data"])) > 24_000
    assert answer["usage"]["prompt_tokens_details"]["image_tokens"] > 0
    assert answer["usage"]["prompt_tokens_details"]["audio_tokens"] > 0


async def test_a_turn_found_by_voice_activity_comes_in_the_order_that_clients_depend_on(talker: Talker) -> None:
    speaking = asyncio.create_task(speak(talker, 600, 1500))
    await talker.until("response.done")
    await speaking
    without_deltas = [kind for kind in talker.kinds if not kind.endswith(".delta")]
    assert without_deltas == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
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
    response = talker.events[-1]["response"]
    assert isinstance(response, dict)
    assert response["status"] == "completed"
    assert response["output"][0]["content"][0]["transcript"] == ANSWER
    assert response["vita"]["first_audio_ms"] >= 0


async def test_speech_over_an_answer_interrupts_it_and_is_answered_itself(talker: Talker) -> None:
    speaking = asyncio.create_task(speak(talker, 600, 800))
    await talker.until("response.output_audio.delta")
    await speaking
    speaking = asyncio.create_task(speak(talker, 600, 1500))
    first = await talker.until("response.done")
    second = await talker.until("response.done")
    await speaking
    assert first["response"]["status_details"]["reason"] == "turn_detected"  # type: ignore[index]
    assert second["response"]["status"] == "completed"  # type: ignore[index]


async def test_items_and_typed_questions_are_understood(talker: Talker) -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    for content in ({"type": "input_image", "image_url": url}, {"type": "input_text", "text": "What is it?"}):
        item = {"type": "message", "role": "user", "content": [content]}
        await talker.send("conversation.item.create", item=item)
        await talker.until("conversation.item.done")
    await talker.send("session.update", session={"output_modalities": ["text"], "max_output_tokens": 100})
    await talker.until("session.updated")
    await talker.send("response.create", response={"metadata": {"mine": "1"}})
    done = (await talker.until("response.done"))["response"]
    assert isinstance(done, dict)
    assert done["metadata"] == {"mine": "1"}
    assert done["output"][0]["content"] == [{"type": "output_text", "text": ANSWER}]
    await talker.send("conversation.item.retrieve", item_id=done["output"][0]["id"])
    await talker.until("conversation.item.retrieved")
    assert "error" not in talker.kinds


async def test_a_commit_of_nothing_and_a_cancel_of_nothing_have_the_codes_that_clients_know(talker: Talker) -> None:
    await talker.send("response.cancel")
    error = (await talker.until("error"))["error"]
    assert error["code"] == "response_cancel_not_active"  # type: ignore[index]
    await talker.send("input_audio_buffer.commit")
    error = (await talker.until("error"))["error"]
    assert error["code"] == "input_audio_buffer_commit_empty"  # type: ignore[index]


async def test_a_question_committed_by_hand_is_answered(talker: Talker) -> None:
    await talker.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
    await talker.send("input_audio_buffer.append", audio=base64.b64encode(VOICE * 30).decode())
    await talker.send("input_audio_buffer.commit")
    await talker.send("response.create")
    done = (await talker.until("response.done"))["response"]
    assert done["status"] == "completed"  # type: ignore[index]
    assert "error" not in talker.kinds


async def test_an_answer_stopped_before_it_was_heard_is_closed_and_then_deleted(
    talker: Talker, fakes: FakeComponents
) -> None:
    fakes.speech_decoder.first_s = 30.0  # words, and no sound
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is it?"}]}
    await talker.send("conversation.item.create", item=item)
    await talker.send("response.create")
    shown = (await talker.until("response.output_item.added"))["item"]
    await talker.until("response.output_audio_transcript.delta")
    await talker.send("response.cancel")
    deleted = await talker.until("conversation.item.deleted")
    assert [kind for kind in talker.kinds if not kind.endswith(".delta")][-4:] == [
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "conversation.item.deleted",
    ]
    output = talker.events[-2]["response"]["output"]  # type: ignore[index]
    assert output[0]["content"] == [{"type": "output_audio", "transcript": ""}]
    assert output[0]["id"] == shown["id"] == deleted["item_id"]  # type: ignore[index]


async def test_an_item_that_the_client_was_never_shown_is_not_deleted_either() -> None:
    translation = Translation(Ledger(), SessionConfiguration())
    deleted = wire.ItemDeleted(item_id="item_1")
    assert translation.translate(wire.ConverseResponse(item_deleted=deleted)) == []


async def test_an_answer_stopped_before_its_first_word_had_no_item_and_none_is_deleted(
    talker: Talker, fakes: FakeComponents
) -> None:
    fakes.llm.first_s = 30.0
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is it?"}]}
    await talker.send("conversation.item.create", item=item)
    await talker.send("response.create")
    await talker.until("response.created")
    await talker.send("response.cancel")
    await talker.until("response.done")
    await talker.send("session.update", session={"output_modalities": ["text"]})
    await talker.until("session.updated")
    assert "conversation.item.deleted" not in talker.kinds
