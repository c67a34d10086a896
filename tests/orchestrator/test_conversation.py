"""The laws of a conversation, on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item

from tests.fakes.components import FakeComponents
from tests.fakes.llm import Answer
from tests.orchestrator.talk import SILENCE, VOICE, Talk, clip, picture, talking

pytestmark = pytest.mark.unit

QUESTION = ((SILENCE, 320), (VOICE, 960), (SILENCE, 640))
TEXT = wire.SessionConfiguration(modality=wire.MODALITY_TEXT)
LONG = " ".join(f"Sentence number {number} is spoken here." for number in range(12))


async def test_a_spoken_question_is_heard_judged_and_answered_in_words_and_sound() -> None:
    fakes = FakeComponents.answering("It is a red circle. It is big.")
    async with talking(fakes) as talk:
        await talk.say(image=picture())
        await talk.speak(*QUESTION)
        await talk.until("response_done")
    assert talk.text() == "It is a red circle. It is big."
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED
    assert len(talk.sound()) == talk.done().audio_ms * 48
    heard = ["speech_started", "speech_stopped", "audio_committed", "item_added"]
    assert talk.kinds()[:7] == [*heard, "response_started", "query_judged", "text_delta"]
    assert fakes.speech_decoder.clauses == ["it is a red circle.", "it is big."]


async def test_every_event_of_a_turn_names_it_and_events_are_numbered_without_gaps() -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.speak(*QUESTION)
        await talk.until("response_done")
        await talk.speak(*QUESTION)
        await talk.until("response_done", 2)
    turns = [heard.event.turn_id for heard in talk.heard]
    assert all(turns)
    assert len(set(turns)) == 2
    assert [heard.event.sequence_number for heard in talk.heard] == list(range(1, len(talk.heard) + 1))


async def test_the_first_sound_leaves_before_the_model_has_written_its_answer() -> None:
    fakes = FakeComponents.answering(LONG, token_s=0.05)
    async with talking(fakes) as talk:
        await talk.ask("What do you see?")
        await talk.until("response_done", within_s=120)
    last_word_s = talk.all("text_delta")[-1].at_s
    first_sound_s = talk.all("answer_audio")[0].at_s
    assert first_sound_s < 0.3 * last_word_s


async def test_time_to_first_sound_does_not_depend_on_how_long_the_user_spoke() -> None:
    async def first_sound_ms(spoken_ms: int) -> int:
        async with talking(FakeComponents.answering("A red circle.")) as talk:
            await talk.speak((VOICE, spoken_ms), (SILENCE, 640))
            await talk.until("response_done")
        return talk.done().stage_times.first_audio_ms

    assert await first_sound_ms(19_968) <= 1.05 * await first_sound_ms(1_984)


async def test_a_picture_is_in_the_context_before_the_user_has_finished_speaking() -> None:
    fakes = FakeComponents.answering("Red.")
    async with talking(fakes) as talk:
        await talk.say(image=picture())
        await talk.speak((VOICE, 960))
        assert "▪" * 16 in talk.context()[-1][1]
        await talk.speak((SILENCE, 640))
        await talk.until("response_done")
    assert [role for role, _ in fakes.llm.contexts[0].turns()] == ["system", "user", "assistant"]


async def test_a_picture_shown_while_the_user_speaks_still_comes_before_the_speech() -> None:
    fakes = FakeComponents.answering("Red.")
    async with talking(fakes) as talk:
        await talk.speak((VOICE, 12_800))
        await talk.say(image=picture())
        await talk.speak((VOICE, 320), (SILENCE, 640))
        await talk.until("response_done")
    assert talk.context()[1][1].startswith("▪" * 16 + "\n▪") if fakes.llm.live else True
    user = fakes.llm.contexts[0].turns()[1][1]
    assert user.index("\n") == 16


async def test_a_long_utterance_enters_the_context_while_it_is_spoken() -> None:
    fakes = FakeComponents.answering("Yes.")
    async with talking(fakes) as talk:
        await talk.speak((VOICE, 12_800))
        assert talk.context()[-1][1].count("▪") >= 128
        await talk.speak((SILENCE, 640))
        await talk.until("response_done")


async def test_typed_words_are_answered_as_text_and_never_judged_as_noise() -> None:
    fakes = FakeComponents.answering(Answer("Hello.", speech=0.1, written=0.1, noise=0.8))
    async with talking(fakes) as talk:
        await talk.ask("Hello?")
        await talk.until("response_done")
    assert talk.all("query_judged")[0].event.query_judged.state == wire.QUERY_STATE_TEXT
    assert talk.text() == "Hello."


async def test_noise_gets_no_answer_and_leaves_no_trace() -> None:
    fakes = FakeComponents.answering(Answer("ignored", speech=0.1, noise=0.9), "Yes.")
    async with talking(fakes) as talk:
        await talk.speak(*QUESTION)
        await talk.until("response_done")
        assert talk.session.entries == []
        await talk.ask("Hello?")
        await talk.until("response_done", 2)
        assert talk.context()[1:] == [("user", "Hello?"), ("assistant", "<state>Yes.")]
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_IGNORED
    assert talk.text() == ""
    assert talk.sound() == b""
    assert len(talk.all("item_deleted")) == 1


async def test_a_picture_shown_before_noise_is_there_for_the_next_question() -> None:
    fakes = FakeComponents.answering(Answer("ignored", speech=0.1, noise=0.9), "Red.")
    async with talking(fakes) as talk:
        await talk.say(image=picture())
        await talk.speak(*QUESTION)
        await talk.until("response_done")
        await talk.ask("What is it?")
        await talk.until("response_done", 2)
        user = talk.context()[1][1]
    assert user == "▪" * 16 + "\nWhat is it?"
    assert talk.text(1) == "Red."


async def test_the_next_turn_knows_the_last_one() -> None:
    fakes = FakeComponents.answering("A red circle.", "Big.")
    async with talking(fakes, configuration=TEXT) as talk:
        await talk.ask("What is it?")
        await talk.until("response_done")
        await talk.ask("How big?")
        await talk.until("response_done", 2)
        said = talk.context()[1:]
    assert said == [
        ("user", "What is it?"),
        ("assistant", "<state>A red circle."),
        ("user", "How big?"),
        ("assistant", "<state>Big."),
    ]
    assert len(fakes.llm.contexts) == 1


async def test_a_recorded_question_in_an_item_is_heard_with_its_picture_before_it() -> None:
    fakes = FakeComponents.answering("Red.")
    item = Item(role=ROLE_USER, parts=[ContentPart(audio=clip(1600)), ContentPart(image=picture())])
    async with talking(fakes) as talk:
        await talk.say(create_item=wire.CreateItem(item=item))
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done")
        user = talk.context()[1][1]
    assert user == "▪" * 16 + "\n" + "▪" * 20
    assert talk.all("query_judged")[0].event.query_judged.state == wire.QUERY_STATE_SPEECH
    usage = talk.done().usage
    assert (usage.input_image_token_count, usage.input_audio_token_count) == (16, 20)


async def test_closing_the_request_side_ends_the_utterance_and_lets_its_answer_finish() -> None:
    async with talking(FakeComponents.answering("A red circle.")) as talk:
        await talk.speak((VOICE, 960))
        await talk.finish()
        await talk.until("response_done")
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_without_turn_detection_the_client_commits_and_asks() -> None:
    manual = wire.SessionConfiguration(turn_detection=wire.TurnDetection(is_enabled=False))
    async with talking(FakeComponents.answering("Red."), configuration=manual) as talk:
        await talk.speak((VOICE, 960), (SILENCE, 960))
        assert talk.heard == []
        await talk.say(commit_audio=wire.CommitAudio())
        await talk.until("item_added")
        assert talk.all("response_started") == []
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done")
    assert talk.text() == "Red."


async def test_what_is_said_over_an_answer_without_turn_detection_is_a_turn_of_its_own() -> None:
    manual = wire.SessionConfiguration(turn_detection=wire.TurnDetection(is_enabled=False))
    async with talking(FakeComponents.answering(LONG, "Big."), configuration=manual) as talk:
        await talk.ask("What is it?")
        await talk.until("answer_audio")
        await talk.speak((VOICE, 640))
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
        await talk.say(commit_audio=wire.CommitAudio())
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done", 2)
    turns = [heard.event.turn_id for heard in talk.heard]
    assert all(turns)
    assert talk.all("item_added")[1].event.turn_id == talk.all("response_started")[1].event.turn_id


async def test_cleared_audio_is_forgotten_everywhere() -> None:
    async with talking(FakeComponents.answering("Red.")) as talk:
        await talk.speak((VOICE, 12_800))
        await talk.say(clear_audio=wire.ClearAudio())
        await talk.until("audio_cleared")
        await talk.speak((SILENCE, 1280))
        assert talk.all("audio_committed") == []
        await talk.ask("Hello?")
        await talk.until("response_done")
        assert talk.context()[1] == ("user", "Hello?")
    assert talk.fakes.bench.live == 0


async def test_an_answer_outside_the_conversation_leaves_no_trace_in_it() -> None:
    fakes = FakeComponents.answering("An answer.")
    async with talking(fakes, configuration=TEXT) as talk:
        await talk.ask("Hello?", is_out_of_band=True, metadata={"why": "test"})
        await talk.until("response_done")
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done", 2)
        assert talk.context()[1:] == [("user", "Hello?"), ("assistant", "<state>An answer.")]
    assert dict(talk.done().metadata) == {"why": "test"}
    assert [entry.text for entry in talk.session.entries] == ["Hello?", "An answer."]


async def test_a_response_may_have_its_own_settings() -> None:
    fakes = FakeComponents.answering("One two three four five.")
    async with talking(fakes) as talk:
        settings = wire.SessionConfiguration(
            modality=wire.MODALITY_TEXT, max_output_tokens=2, instructions="Be short.", seed=3
        )
        await talk.ask("Count.", configuration=settings)
        await talk.until("response_done")
        assert talk.context()[0] == ("system", "Be short.")
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_LENGTH
    assert talk.text() == "One two"
    assert talk.sound() == b""


async def test_items_can_be_retrieved_deleted_and_placed() -> None:
    fakes = FakeComponents.answering("Yes.")
    async with talking(fakes, configuration=TEXT) as talk:
        for item_id, text, after in (("b", "second", ""), ("a", "first", "root"), ("c", "third", "b")):
            item = Item(item_id=item_id, role=ROLE_USER, parts=[ContentPart(text=text + " ")])
            await talk.say(create_item=wire.CreateItem(item=item, previous_item_id=after))
        await talk.say(delete_item=wire.DeleteItem(item_id="b"))
        await talk.say(retrieve_item=wire.RetrieveItem(item_id="c"))
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done")
        assert talk.context()[1] == ("user", "first third ")
    assert [heard.event.item_added.previous_item_id for heard in talk.all("item_added")] == ["", "", "b"]
    assert talk.all("item_retrieved")[0].event.item_retrieved.item.parts[0].text == "third "


async def test_when_the_context_overflows_the_oldest_turns_are_forgotten() -> None:
    fakes = FakeComponents.answering("Yes it is.")
    fakes.llm.capacity = 100
    async with talking(fakes, configuration=TEXT) as talk:
        for turn in range(12):
            await talk.ask(f"Question {turn} " + "word " * 8)
            await talk.until("response_done", turn + 1)
        turns = talk.context()
    assert all(heard.event.response_done.outcome == 1 for heard in talk.all("response_done"))
    assert turns[0][0] == "system"
    assert "Question 11" in turns[-2][1]
    assert not any("Question 0 " in words for _, words in turns)
    assert len(talk.session.entries) == 24  # the record keeps what the context cannot


async def test_what_alone_does_not_fit_the_context_is_a_clear_error_and_the_session_goes_on() -> None:
    fakes = FakeComponents.answering("Yes.")
    fakes.llm.capacity = 60
    async with talking(fakes, configuration=TEXT) as talk:
        await talk.ask("word " * 100)
        await talk.until("response_done")
        too_long = talk.session.entries[0].item.item_id
        await talk.say(delete_item=wire.DeleteItem(item_id=too_long))
        await talk.ask("Short?")
        await talk.until("response_done", 2)
    assert reason_of(talk) == "CONTEXT_FULL"
    assert talk.done(1).outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_a_conversation_of_half_a_minute_goes_turn_by_turn() -> None:
    fakes = FakeComponents.answering("A red circle.", "It is big.", "You are welcome.")
    async with talking(fakes) as talk:
        for turn in range(3):
            await talk.speak((SILENCE, 1280), (VOICE, 1600), (SILENCE, 6400))
            await talk.until("response_done", turn + 1)
        assert [role for role, _ in talk.context()] == ["system", *["user", "assistant"] * 3]
    assert [talk.text(turn) for turn in range(3)] == ["A red circle.", "It is big.", "You are welcome."]


def reason_of(talk: Talk, index: int = 0) -> str:
    from tests.orchestrator.talk import reason

    return reason(talk.done(index).failure)


async def test_turn_detection_can_be_switched_while_the_user_speaks() -> None:
    manual = wire.SessionConfiguration(turn_detection=wire.TurnDetection(is_enabled=False))
    automatic = wire.SessionConfiguration(turn_detection=wire.TurnDetection(is_enabled=True))
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.speak((VOICE, 640))
        await talk.say(configure=wire.Configure(configuration=manual))
        await talk.until("audio_cleared")
        await talk.speak((VOICE, 640))
        await talk.say(configure=wire.Configure(configuration=automatic))
        await talk.until("audio_cleared", 2)
        await talk.speak((SILENCE, 320), (VOICE, 640), (SILENCE, 640))
        await talk.until("response_done")
    assert talk.failures() == []
    assert len(talk.all("audio_committed")) == 1


async def test_changed_instructions_hold_from_the_next_answer_on() -> None:
    async with talking(FakeComponents.answering("Yes.", "Oui."), configuration=TEXT) as talk:
        await talk.ask("Hello?")
        await talk.until("response_done")
        change = wire.SessionConfiguration(instructions="Speak French.")
        await talk.say(configure=wire.Configure(configuration=change))
        await talk.ask("And now?")
        await talk.until("response_done", 2)
        turns = talk.context()
    assert turns[0] == ("system", "Speak French.")
    assert [role for role, _ in turns] == ["system", "user", "assistant", "user", "assistant"]


async def test_an_answer_cannot_be_asked_for_while_the_user_speaks() -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.ask("Hello?")
        await talk.until("response_done")
        await asyncio.sleep(3)
        await talk.speak((VOICE, 640))
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("failure")
        await talk.speak((SILENCE, 640))
        await talk.until("response_done", 2)
    assert talk.failures() == ["OUT_OF_ORDER"]


async def test_eight_conversations_at_once_do_not_hear_each_other() -> None:
    async def one(number: int) -> list[str]:
        fakes = FakeComponents.answering(f"I am number {number}.", f"Still {number}.")
        async with talking(fakes) as talk:
            await talk.ask(f"Who are you, {number}?")
            await talk.until("response_done")
            await talk.speak(*QUESTION)
            await talk.until("response_done", 2)
        return [talk.text(0), talk.text(1)]

    answers = await asyncio.gather(*(one(number) for number in range(8)))
    assert answers == [[f"I am number {number}.", f"Still {number}."] for number in range(8)]
