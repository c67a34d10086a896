"""A voice over an answer: a cough changes nothing, speech stops everything and leaves only what was heard."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from vita_cli.realtime_client import BYTES_PER_MS, Answer, Event, RealtimeClient, microphone
from vita_cli.sounds import read_sound

from tests.acceptance.conversing import (
    ANSWER_S,
    EXAMPLES,
    IDLE_S,
    PICTURE,
    REPORT_S,
    ask,
    begin,
    busy,
    item_ids,
    metric,
    session,
    transcript,
    wait_until_idle,
)
from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.triton

REQUEST = "Please describe the picture."
FOLLOW_UP = "What color is the star?"
LISTENING: Event = {"input": {"turn_detection": {"type": "server_vad"}}}
# Speech interrupts and is not answered by itself, so that the stages can be seen to come to rest.
LISTENING_ONLY: Event = {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}
INTO_THE_ANSWER_S = 1.0
SYLLABLE_MS = 475  # some 150 ms of it voiced
SLACK_TOKENS = 4  # turn markers, and what the model judged the query as


async def heard_with(stack: RunningStack, sound: bytes, longest: int) -> Answer:
    """Ask, make a sound a second into the answer, and return the whole answer."""
    async with session(stack, audio=LISTENING, max_output_tokens=longest) as client, microphone(client) as mouth:
        await begin(client, REQUEST, PICTURE)
        await client.wait_for_answer(lambda one: one.audio_ms > 0, timeout_s=ANSWER_S)
        await asyncio.sleep(INTO_THE_ANSWER_S)
        if sound:
            await mouth.say(sound)
        return await client.wait_for_answer(lambda one: one.is_done, timeout_s=ANSWER_S)


async def test_a_cough_or_a_syllable_during_an_answer_changes_none_of_its_samples(
    stack: RunningStack, longest: int
) -> None:
    cough = read_sound(EXAMPLES / "cough.wav")  # a voice for a moment
    syllable = read_sound(EXAMPLES / "hello.wav")[: SYLLABLE_MS * BYTES_PER_MS]  # holds the answer, and lets it go
    before = metric(stack, "orchestrator", "vita_holds_total", outcome="released")
    sounds = (b"", cough, syllable)
    quiet, *disturbed = await asyncio.gather(*(heard_with(stack, sound, longest) for sound in sounds))
    assert quiet.audio_ms > 1500, "too short to be coughed at"
    for answer in disturbed:
        assert answer.status == quiet.status in ("completed", "incomplete")
        assert answer.text == quiet.text
        assert answer.sound == quiet.sound
    assert metric(stack, "orchestrator", "vita_holds_total", outcome="released") > before, "nothing was held"


async def interrupted(client: RealtimeClient) -> Answer:
    """Ask, and speak over the answer; return what became of it."""
    async with microphone(client) as mouth:
        await begin(client, REQUEST, PICTURE)
        await client.wait_for_answer(lambda one: one.audio_ms > 0, timeout_s=ANSWER_S)
        await asyncio.sleep(INTO_THE_ANSWER_S)
        speaking = asyncio.create_task(mouth.say(read_sound(EXAMPLES / "interrupt.wav")))
        answer = await client.wait_for_answer(lambda one: one.is_done, timeout_s=ANSWER_S)
        await speaking
        await client.wait_for("input_audio_buffer.committed", timeout_s=ANSWER_S)
        return answer


async def test_speech_over_an_answer_stops_it_in_every_stage(stack: RunningStack, longest: int) -> None:
    async with session(stack, audio=LISTENING_ONLY, max_output_tokens=longest) as client:
        asking = asyncio.create_task(interrupted(client))
        await client.wait_for("response.done", timeout_s=ANSWER_S)
        speaking = ("speech_decoder", "codec_decoder")
        stopped = asyncio.to_thread(
            wait_until, lambda: not busy(stack, speaking, sessions=1), IDLE_S + REPORT_S, "no more is spoken"
        )
        await stopped
        answer = await asking
        length = len(answer.sound)
        await asyncio.to_thread(wait_until_idle, stack, IDLE_S + REPORT_S, 1)
    assert (answer.status, answer.reason) == ("cancelled", "turn_detected")
    assert len(answer.sound) == length, "sound came after the end"
    assert length // BYTES_PER_MS < 25_000, "it was spoken to its end"


def kept(client: RealtimeClient) -> str:
    """Return the words that the conversation keeps of the last answer."""
    done = next(one.event for one in reversed(client.events) if one.kind == "response.done")
    output = cast("list[Event]", cast("Event", done["response"])["output"])
    content = cast("list[Event]", output[0]["content"]) if output else []
    return str(content[0]["transcript"]) if content else ""


def input_text_tokens(client: RealtimeClient) -> int:
    """Return how many words' tokens the last answer was given with."""
    done = next(one.event for one in reversed(client.events) if one.kind == "response.done")
    usage = cast("Event", cast("Event", done["response"])["usage"])
    return cast("int", cast("Event", usage["input_token_details"])["text_tokens"])


async def with_history(stack: RunningStack, heard: str, longest: int) -> tuple[Answer, int]:
    """Return the answer to the follow-up where `heard` was all that had been said, and its input tokens."""
    async with session(stack, max_output_tokens=longest) as client:
        await client.send_image(PICTURE)
        await client.send_text(REQUEST)
        if heard:
            item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": heard}]}
            seen = len(client.events)
            await client.send("conversation.item.create", item=item)
            await client.wait_for("conversation.item.done", since=seen)
        return await ask(client, FOLLOW_UP), input_text_tokens(client)


async def test_after_an_interruption_the_next_turn_knows_only_what_was_heard(
    stack: RunningStack, longest: int, is_trained: bool
) -> None:
    async with session(stack, audio=LISTENING_ONLY, max_output_tokens=longest) as client:
        answer = await interrupted(client)
        heard = kept(client)
        if heard:
            item_id = next(item for item in item_ids(client) if is_answer(client, item))
            assert await transcript(client, item_id) == heard
        spoken = next(one.event["item_id"] for one in client.events if one.kind == "input_audio_buffer.committed")
        await client.send("conversation.item.delete", item_id=spoken)
        await client.wait_for("conversation.item.deleted")
        follow_up = await ask(client, FOLLOW_UP)
        tokens = input_text_tokens(client)
    assert answer.text.startswith(heard)
    expected, expected_tokens = await with_history(stack, heard, longest)
    assert tokens <= expected_tokens + SLACK_TOKENS, "the model remembers words that nobody heard"
    if is_trained:
        assert 0 < len(heard) < len(answer.text), "it was cut in the middle"
        assert follow_up.text == expected.text


def is_answer(client: RealtimeClient, item_id: str) -> bool:
    """Whether an item is the assistant's."""
    added = (cast("Event", one.event["item"]) for one in client.events if one.kind == "conversation.item.added")
    return any(item["id"] == item_id and item["role"] == "assistant" for item in added)
