"""A voice over an answer: held, then confirmed or rejected; and what the conversation remembers of it."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire

from tests.fakes.components import FakeComponents
from tests.orchestrator.talk import SILENCE, VOICE, Talk, picture, talking

pytestmark = pytest.mark.unit

LONG = " ".join(f"Sentence number {number} is spoken here." for number in range(12))
TEXT = wire.SessionConfiguration(modality=wire.MODALITY_TEXT)
COUGH = (VOICE, 128)  # 128 ms: long enough to hold, too short to confirm


async def speaking(talk: Talk, sound_count: int = 3) -> None:
    """Get an answer going."""
    await talk.ask("Tell me everything.")
    await talk.until("answer_audio", sound_count)


async def whole_answer() -> tuple[str, bytes]:
    async with talking(FakeComponents.answering(LONG)) as talk:
        await speaking(talk)
        await talk.until("response_done", within_s=120)
    return talk.text(), talk.sound()


@pytest.mark.parametrize("after_ms", [0, 320, 1600, 9600])
async def test_a_cough_changes_no_sample_and_costs_at_most_300_ms(after_ms: int) -> None:
    async with talking(FakeComponents.answering(LONG)) as talk:
        await speaking(talk)
        await talk.speak((SILENCE, after_ms), COUGH, (SILENCE, 960))
        await talk.until("response_done", within_s=120)
    assert (talk.text(), talk.sound()) == await whole_answer()
    held, released = talk.all("output_held")[0], talk.all("output_released")[0]
    assert 0 < released.at_s - held.at_s <= 0.3
    assert talk.all("speech_started") == []
    times = [heard.at_s for heard in talk.all("answer_audio")]
    starts = [heard.event.answer_audio.start_ms for heard in talk.all("answer_audio")]
    # Sound comes late by no more than the hold: the buffer of the listener bridges it.
    assert max(time - start / 1000 for time, start in zip(times, starts, strict=True)) <= times[0] + 0.3


async def test_a_cough_before_the_first_word_changes_nothing_either() -> None:
    fakes = FakeComponents.answering(LONG, first_s=0.5)
    async with talking(fakes) as talk:
        await talk.ask("Tell me everything.")
        await talk.speak(COUGH, (SILENCE, 640))
        await talk.until("response_done", within_s=120)
    assert (talk.text(), talk.sound()) == await whole_answer()


async def test_output_is_held_from_the_first_60_ms_of_voice_on() -> None:
    async with talking(FakeComponents.answering(LONG), lead_ms=60_000) as talk:
        await speaking(talk)
        await talk.speak((VOICE, 64))
        held = await talk.until("output_held")
        await talk.speak((SILENCE, 640))
        released = await talk.until("output_released")
        await talk.until("response_done", within_s=120)
    assert not [a for a in talk.all("answer_audio") if held.at_s < a.at_s < released.at_s]


async def test_a_hold_ends_by_the_wall_clock_when_the_microphone_stalls() -> None:
    async with talking(FakeComponents.answering(LONG)) as talk:
        await speaking(talk)
        await talk.speak((VOICE, 96))
        held = await talk.until("output_held")
        released = await talk.until("output_released")
        assert released.at_s - held.at_s <= 0.3
        await talk.until("response_done", within_s=120)
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_speech_over_an_answer_stops_sound_at_once_and_work_within_100_ms() -> None:
    fakes = FakeComponents.answering(LONG, "Fine.")
    async with talking(fakes, lead_ms=60_000) as talk:
        await speaking(talk)
        await talk.speak((VOICE, 960))
        done = (await talk.until("response_done")).at_s
        await talk.speak((SILENCE, 640))
        await talk.until("response_done", 2)
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_INTERRUPTED
    assert not [heard for heard in talk.all("answer_audio") if heard.at_s > done and heard.event.turn_id == first(talk)]
    late = [work for work in fakes.bench.work_after(done + 0.1) if work.operation in ("generate", "speak", "decode")]
    assert all(work.generation > 0 for work in late if work.operation == "generate")
    assert talk.kinds().index("response_done") < talk.kinds().index("speech_started")
    assert talk.text(1) == "Fine."


async def test_an_interruption_is_announced_240_ms_after_its_onset() -> None:
    async with talking(FakeComponents.answering(LONG)) as talk:
        await speaking(talk)
        onset_s = asyncio.get_running_loop().time()
        await talk.speak((VOICE, 960))
        started = await talk.until("speech_started")
        await talk.speak((SILENCE, 960))
        await talk.until("response_done", 2, within_s=120)
    assert 0.2 < started.at_s - onset_s < 0.3
    # The utterance holds the voice from its onset on, with what came before it.
    assert started.event.speech_started.audio_start_ms == 0


async def test_history_and_context_are_cut_to_what_was_heard() -> None:
    fakes = FakeComponents.answering(LONG, "Fine.")
    async with talking(fakes, lead_ms=3000) as talk:
        await speaking(talk)
        first_s = talk.all("answer_audio")[0].at_s
        await asyncio.sleep(4)
        await talk.speak((VOICE, 960), (SILENCE, 640))
        await talk.until("response_done", 2)
        turns = talk.context()
    heard_ms = (talk.all("response_done")[0].at_s - first_s) * 1000
    kept = talk.done().item.parts[0].text
    assert LONG.startswith(kept)
    # The fake speaks 75 ms a character; the clause in progress is timed by estimate.
    assert abs(len(kept) * 75 - heard_ms) < 1000
    assert len(kept) < len(talk.text())
    assert turns[2] == ("assistant", "<state>" + kept)
    assert talk.session.entries[1].text == kept
    assert len(fakes.llm.contexts) == 1


@pytest.mark.parametrize("played_ms", [700, 1500, 1800, 2400, 3600])
async def test_after_an_interruption_the_context_is_the_one_that_a_replay_of_the_record_builds(played_ms: int) -> None:
    fakes = FakeComponents.answering(LONG, "Fine.")
    fakes.llm.piece_tokens = 4  # as the real model's
    async with talking(fakes, lead_ms=5000) as talk:
        await speaking(talk)
        await asyncio.sleep(4)
        await talk.say(report_playback=wire.ReportPlayback(response_id=talk.response_id(0), played_ms=played_ms))
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
        await asyncio.sleep(0.1)
        live = list(fakes.llm.live[-1].tokens)
        assert len(fakes.llm.contexts) == 1
        fakes.llm.lose()
        await talk.say(image=picture())
        await asyncio.sleep(0.5)
        replayed = fakes.llm.live[-1].tokens
    assert "".join(str(token.content) for token in live).endswith("<state>" + talk.done().item.parts[0].text)
    assert replayed[: len(live)] == live


async def test_what_the_client_reports_to_have_played_counts() -> None:
    fakes = FakeComponents.answering(LONG, "Fine.")
    async with talking(fakes, lead_ms=5000) as talk:
        await speaking(talk)
        await asyncio.sleep(3)
        await talk.say(report_playback=wire.ReportPlayback(response_id=talk.response_id(0), played_ms=700))
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
    assert talk.done().item.parts[0].text == "Sentence"
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_CANCELLED


async def test_an_answer_nothing_was_heard_of_leaves_no_item() -> None:
    fakes = FakeComponents.answering(LONG, "Fine.")
    async with talking(fakes) as talk:
        await talk.ask("Tell me everything.")
        await talk.until("text_delta", 2)
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
        await talk.ask("And now?")
        await talk.until("response_done", 2)
        assert [role for role, _ in talk.context()] == ["system", "user", "assistant"]
    assert list(talk.done().item.parts) == []
    told = [heard.kind for heard in talk.heard if heard.kind in ("response_done", "item_deleted")]
    assert told == ["response_done", "item_deleted", "response_done"]
    assert talk.all("item_deleted")[0].event.item_deleted.item_id == talk.done().item.item_id


async def test_a_written_answer_keeps_the_words_that_were_sent() -> None:
    fakes = FakeComponents.answering(LONG)
    async with talking(fakes, configuration=TEXT) as talk:
        await talk.ask("Tell me everything.")
        await talk.until("text_delta", 5)
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
    assert talk.done().item.parts[0].text == talk.text()


async def test_speech_while_the_rest_is_still_played_cuts_the_answer_too() -> None:
    fakes = FakeComponents.answering("One two three four five six seven eight nine ten.", "Fine.", token_s=0.001)
    async with talking(fakes, lead_ms=60_000) as talk:
        await talk.ask("Count.")
        await talk.until("response_done")
        await talk.speak((VOICE, 960), (SILENCE, 640))
        await talk.until("response_done", 2)
        turns = talk.context()
    cut = talk.all("item_truncated")[0].event.item_truncated.text
    assert "One two three four five six seven eight nine ten.".startswith(cut)
    assert len(cut) < 30
    assert turns[2][1].removeprefix("<state>") == cut


async def test_a_cough_while_the_rest_is_still_played_is_no_speech() -> None:
    fakes = FakeComponents.answering("One two three four five six seven eight nine ten.", token_s=0.001)
    async with talking(fakes, lead_ms=60_000) as talk:
        await talk.ask("Count.")
        await talk.until("response_done")
        await talk.speak(COUGH, (SILENCE, 640))
    assert talk.all("speech_started") == []


async def test_without_interruption_a_voice_over_an_answer_does_not_count() -> None:
    turns = wire.TurnDetection(is_enabled=True, is_response_interrupted=False)
    fakes = FakeComponents.answering("One two three four five.")
    async with talking(fakes, configuration=wire.SessionConfiguration(turn_detection=turns)) as talk:
        await speaking(talk, 1)
        await talk.speak((VOICE, 960))
        await talk.until("response_done", within_s=120)
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED
    assert talk.all("output_held") == []


async def test_an_answer_is_truncated_where_the_client_says() -> None:
    async with talking(FakeComponents.answering("One two three four five.")) as talk:
        await talk.ask("Count.")
        await talk.until("response_done")
        await asyncio.sleep(5)
        item_id = talk.done().item.item_id
        for audio_end_ms in (900, 300, 279, 99_999):
            await talk.say(truncate_item=wire.TruncateItem(item_id=item_id, audio_end_ms=audio_end_ms))
        await talk.until("item_truncated", 4)
        await talk.ask("Go on.")
        await talk.until("response_done", 2)
        assert talk.context()[2][1].endswith("One")
    texts = [heard.event.item_truncated.text for heard in talk.all("item_truncated")]
    assert texts == ["One two", "One", "One", "One"]


async def test_interrupting_nothing_is_an_error_and_no_more() -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.say("e1", interrupt=wire.Interrupt())
        await talk.until("failure")
        await talk.ask("Hello?")
        await talk.until("response_done")
    assert talk.failures() == ["NO_RESPONSE_ACTIVE"]
    assert talk.all("failure")[0].event.failure.client_event_id == "e1"


def first(talk: Talk) -> str:
    """The first answer's turn."""
    return talk.all("response_started")[0].event.turn_id


async def test_a_short_word_right_after_the_client_stopped_an_answer_is_heard() -> None:
    async with talking(FakeComponents.answering(LONG, "Fine.")) as talk:
        await speaking(talk)
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
        await talk.speak((VOICE, 192), (SILENCE, 640))
        await talk.until("response_done", 2)
    assert len(talk.all("audio_committed")) == 1
    assert talk.text(1) == "Fine."


async def test_sound_that_does_not_count_still_takes_its_time() -> None:
    turns = wire.TurnDetection(is_enabled=True, is_response_interrupted=False)
    fakes = FakeComponents.answering("One two three four five.")
    async with talking(fakes, configuration=wire.SessionConfiguration(turn_detection=turns)) as talk:
        await talk.ask("Count.")
        await talk.speak((VOICE, 320))
        await talk.until("response_done")
        await asyncio.sleep(5)
        await talk.speak((SILENCE, 640), (VOICE, 640), (SILENCE, 640))
        await talk.until("response_done", 2)
    assert talk.all("speech_started")[0].event.speech_started.audio_start_ms == 320 + 640 - 300
