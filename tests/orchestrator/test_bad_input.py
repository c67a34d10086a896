"""Whatever comes in, the client is told what is wrong with it and the conversation goes on."""

from __future__ import annotations

import math

import pytest
from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_ASSISTANT, ROLE_USER, ContentPart, Item, ToolCall
from vita.media.v1.media_pb2 import (
    AUDIO_ENCODING_PCM_S16LE,
    AUDIO_ENCODING_UNSPECIFIED,
    IMAGE_ENCODING_JPEG,
    IMAGE_ENCODING_UNSPECIFIED,
    AudioChunk,
    AudioClip,
    ImageFrame,
)
from vita_orchestrator.configuration import default_configuration
from vita_orchestrator.policy import Policy
from vita_sessions.session import Entry, Session

from tests.fakes.components import FakeComponents
from tests.orchestrator.talk import clip, picture, talking

pytestmark = pytest.mark.unit

PCM = AUDIO_ENCODING_PCM_S16LE


def item(*parts: ContentPart, **fields: object) -> dict[str, Message]:
    return {"create_item": wire.CreateItem(item=Item(**{"role": ROLE_USER, "parts": parts, **fields}))}  # type: ignore[arg-type]


def settings(**fields: object) -> dict[str, Message]:
    return {"configure": wire.Configure(configuration=wire.SessionConfiguration(**fields))}  # type: ignore[arg-type]


def turns(**fields: float) -> dict[str, Message]:
    return settings(turn_detection=wire.TurnDetection(is_enabled=True, **fields))  # type: ignore[arg-type]


BAD: list[tuple[str, str, dict[str, Message]]] = [
    ("an unknown rate", "BAD_INPUT", {"audio": AudioChunk(samples=b"\0\0", sample_rate_hz=96_000, encoding=PCM)}),
    ("no encoding", "BAD_INPUT", {"audio": AudioChunk(samples=b"\0\0", sample_rate_hz=16_000)}),
    ("half a sample", "BAD_MEDIA", {"audio": AudioChunk(samples=b"\0" * 3, sample_rate_hz=16_000, encoding=PCM)}),
    ("no samples", "BAD_MEDIA", {"audio": AudioChunk(sample_rate_hz=16_000, encoding=PCM)}),
    ("a long chunk", "BAD_INPUT", {"audio": AudioChunk(samples=b"\0" * 3202, sample_rate_hz=16_000, encoding=PCM)}),
    ("an empty picture", "BAD_MEDIA", {"image": ImageFrame(encoding=IMAGE_ENCODING_JPEG)}),
    ("a picture of no kind", "BAD_INPUT", {"image": ImageFrame(content=b"x", encoding=IMAGE_ENCODING_UNSPECIFIED)}),
    ("a huge picture", "BAD_INPUT", {"image": ImageFrame(content=b"x" * 9 * 2**20, encoding=IMAGE_ENCODING_JPEG)}),
    ("an empty item", "BAD_INPUT", item()),
    ("a long text", "BAD_INPUT", item(ContentPart(text="x" * 5_000_000))),
    ("an empty part", "BAD_INPUT", item(ContentPart())),
    ("a long id", "BAD_INPUT", item(ContentPart(text="x"), item_id="x" * 65)),
    ("no role", "BAD_INPUT", item(ContentPart(text="x"), role=0)),
    ("a picture said by the assistant", "BAD_INPUT", item(ContentPart(image=picture()), role=ROLE_ASSISTANT)),
    ("a call of the user", "BAD_INPUT", item(tool_call=ToolCall(call_id="c", name="x", arguments="{}"))),
    ("a clip too long", "BAD_INPUT", item(ContentPart(audio=clip(120_001)))),
    ("an empty clip", "BAD_MEDIA", item(ContentPart(audio=AudioClip(sample_rate_hz=16_000, encoding=PCM)))),
    ("a clip of no encoding", "BAD_INPUT", item(ContentPart(audio=AudioClip(encoding=AUDIO_ENCODING_UNSPECIFIED)))),
    ("an unknown item to delete", "NOT_FOUND", {"delete_item": wire.DeleteItem(item_id="nobody")}),
    ("an unknown item to retrieve", "NOT_FOUND", {"retrieve_item": wire.RetrieveItem(item_id="nobody")}),
    ("an unknown item to cut", "NOT_FOUND", {"truncate_item": wire.TruncateItem(item_id="nobody")}),
    ("a user's item to cut", "BAD_INPUT", {"truncate_item": wire.TruncateItem(item_id="known")}),
    ("an id twice", "ALREADY_EXISTS", item(ContentPart(text="x"), item_id="known")),
    ("a temperature of NaN", "BAD_INPUT", settings(temperature=math.nan)),
    ("a temperature of 3", "BAD_INPUT", settings(temperature=3.0)),
    ("no tokens at all", "BAD_INPUT", settings(max_output_tokens=0)),
    ("too many tiles", "BAD_INPUT", settings(max_tile_count=99)),
    ("an unknown modality", "BAD_INPUT", settings(modality=9)),
    ("long instructions", "BAD_INPUT", settings(instructions="x" * 70_000)),
    ("a threshold of 1", "BAD_INPUT", turns(threshold=1.0)),
    ("a prefix of an hour", "BAD_INPUT", turns(prefix_padding_ms=3_600_000)),
    ("a second opening", "OUT_OF_ORDER", {"open": wire.Open()}),
    ("nothing", "OUT_OF_ORDER", {}),
    ("nothing to commit", "OUT_OF_ORDER", {"commit_audio": wire.CommitAudio()}),
    ("nothing to stop", "NO_RESPONSE_ACTIVE", {"interrupt": wire.Interrupt()}),
]


@pytest.mark.parametrize(("what", "expected", "request_"), BAD, ids=[name for name, _, _ in BAD])
async def test_it_is_told_with_the_name_of_the_request_and_the_next_question_is_answered(
    what: str, expected: str, request_: dict[str, Message]
) -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.say(**item(ContentPart(text="Hello? "), item_id="known"))
        await talk.say("e9", **request_)
        failure = await talk.until("failure")
        await talk.ask("Hello?")
        await talk.until("response_done")
    assert talk.failures() == [expected], what
    assert failure.event.failure.client_event_id == "e9"
    assert talk.text() == "Yes."


async def test_nothing_to_answer_is_an_error() -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("failure")
    assert talk.failures() == ["OUT_OF_ORDER"]


async def test_a_second_answer_at_a_time_is_refused_and_the_first_goes_on() -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.ask("Hello?")
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done")
    assert talk.failures() == ["RESPONSE_ACTIVE"]
    assert talk.text() == "Yes."


async def test_an_utterance_without_end_is_ended_at_the_limit() -> None:
    from tests.orchestrator.talk import VOICE

    async with talking(FakeComponents.answering("Yes."), max_utterance_ms=3000) as talk:
        await talk.speak((VOICE, 3200))
        await talk.until("response_done")
    assert len(talk.all("audio_committed")) >= 1


async def test_words_that_the_record_cannot_hold_are_refused_when_they_come_and_it_can_always_be_saved() -> None:
    text = "x" * 65_000
    entries = [Entry(Item(item_id=f"q{i}", role=ROLE_USER, parts=[ContentPart(text=text)])) for i in range(112)]
    session = Session("sess_1", "tenant", default_configuration(Policy()), entries=entries)
    fakes = FakeComponents.answering("Yes.", capacity=20_000)
    async with talking(fakes, session=session) as talk:
        await talk.say("e9", **item(ContentPart(text=text)))
        failure = await talk.until("failure")
        session.evict()
        await talk.ask("Hello?")
        await talk.until("response_done")
    assert talk.failures() == ["BAD_INPUT"]
    assert failure.event.failure.client_event_id == "e9"
    assert f"{7 * 2**20} bytes" in str(failure.event.failure.status)
    assert talk.text() == "Yes."


async def test_an_answer_that_the_record_could_not_hold_does_not_begin() -> None:
    async with talking(FakeComponents.answering("Yes."), max_words_bytes=250) as talk:
        await talk.ask("Hello?")
        await talk.until("response_done")
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("failure")
    assert talk.failures() == ["BAD_INPUT"]


async def test_an_answer_that_cannot_begin_in_a_full_conversation_is_refused_and_the_session_goes_on() -> None:
    async with talking(FakeComponents.answering("Yes."), max_item_count=2) as talk:
        await talk.ask("Hello?")
        await talk.until("response_done")
        await talk.say(image=picture())
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("failure")
        for entry in talk.session.entries[:2]:
            await talk.say(delete_item=wire.DeleteItem(item_id=entry.item.item_id))
        await talk.ask("And now?")
        await talk.until("response_done", 2)
        assert talk.context()[-2] == ("user", "▪" * 16 + "\nAnd now?"), "the picture still waited"
    assert talk.failures() == ["BAD_INPUT"]
