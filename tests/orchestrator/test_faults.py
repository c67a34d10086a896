"""A lost component costs a pause or a clear error, never the conversation."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item

from tests.fakes.components import FakeComponents
from tests.fakes.faults import Fault, lost
from tests.orchestrator.talk import SILENCE, VOICE, Talk, clip, picture, reason, talking

pytestmark = pytest.mark.unit

ANSWER = "It is a red circle. It is very big. There is nothing else."
UNPACED = wire.SessionConfiguration(is_paced=False)


async def ask_aloud(talk: Talk) -> None:
    await talk.speak((VOICE, 320))
    await talk.say(image=picture())
    await talk.speak((VOICE, 640), (SILENCE, 640))


async def undisturbed() -> tuple[str, bytes]:
    async with talking(FakeComponents.answering(ANSWER), configuration=UNPACED) as talk:
        await ask_aloud(talk)
        await talk.until("response_done")
    return talk.text(), talk.sound()


PHASES = [
    Fault("encode", 0, 0, lost("vision_encoder")),
    Fault("speech_encoder.utterance", 0, 0, lost("speech_encoder")),
    Fault("push", 0, 2, lost("speech_encoder")),
    Fault("finish", 0, 0, lost("speech_encoder")),
    Fault("embeddings", 0, 1, lost("speech_encoder")),
    Fault("append_text", 0, 0, lost("llm")),
    Fault("append_embeddings", 0, 0, lost("llm")),
    Fault("append_embeddings", 1, 0, lost("llm")),
    Fault("generate", 0, 0, lost("llm")),
    Fault("generate", 0, 4, lost("llm")),
    Fault("speak", 0, 0, lost("speech_decoder")),
    Fault("speak", 0, 2, lost("speech_decoder")),
    Fault("speak", 1, 1, lost("speech_decoder")),
    Fault("decode", 0, 0, lost("codec_decoder")),
    Fault("decode", 3, 0, lost("codec_decoder")),
]


@pytest.mark.parametrize("fault", PHASES, ids=lambda fault: f"{fault.operation}-{fault.at_call}-{fault.after_outputs}")
async def test_a_replica_lost_once_costs_a_pause_and_changes_nothing(fault: Fault) -> None:
    fakes = FakeComponents.answering(ANSWER)
    fakes.bench.faults.append(fault)
    async with talking(fakes, configuration=UNPACED) as talk:
        await ask_aloud(talk)
        await talk.until("response_done")
        await talk.ask("And?")
        await talk.until("response_done", 2)
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED
    assert (talk.text(), talk.sound()) == await undisturbed()
    assert talk.failures() == []


async def test_a_model_that_dies_in_the_middle_goes_on_where_it_was() -> None:
    fakes = FakeComponents.answering(ANSWER)
    async with talking(fakes, configuration=UNPACED) as talk:
        await ask_aloud(talk)
        await talk.until("text_delta", 5)
        fakes.llm.lose()
        await talk.until("response_done")
        context = talk.context()
    assert (talk.text(), talk.sound()) == await undisturbed()
    assert len(fakes.llm.contexts) == 2
    assert context[-1][1] == "<state>" + ANSWER


class Outage:
    """A component that is away from a call on, until it is told to come back."""

    def __init__(self, fakes: FakeComponents, operation: str, component: str, from_call: int = 0) -> None:
        self._fakes = fakes
        self._faults = [Fault(operation, call, 0, lost(component)) for call in range(from_call, from_call + 500)]
        fakes.bench.faults.extend(self._faults)

    def end(self) -> None:
        self._fakes.unready.clear()
        self._fakes.bench.faults[:] = [fault for fault in self._fakes.bench.faults if fault not in self._faults]


AWAY = [
    ("generate", "llm"),
    ("speak", "speech_decoder"),
    ("decode", "codec_decoder"),
    ("encode", "vision_encoder"),
    ("push", "speech_encoder"),
]


@pytest.mark.parametrize(("operation", "component"), AWAY)
async def test_a_component_that_stays_away_fails_the_turn_within_3_s_and_the_next_is_right(
    operation: str, component: str
) -> None:
    fakes = FakeComponents.answering(ANSWER)
    outage = Outage(fakes, operation, component)
    if operation == "generate":
        fakes.bench.faults.extend(Fault("generate", call, 0, lost("llm")) for call in range(500))
    async with talking(fakes, configuration=UNPACED) as talk:
        await ask_aloud(talk)
        done = await talk.until("response_done")
        started = talk.all("response_started")[0]
        outage.end()
        fakes.bench.faults.clear()
        await talk.ask("And?")
        await talk.until("response_done", 2)
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_FAILED
    assert reason(talk.done().failure) == "COMPONENT_UNAVAILABLE"
    assert done.at_s - started.at_s <= 3.0
    assert talk.done(1).outcome == wire.RESPONSE_OUTCOME_COMPLETED
    assert talk.text(1) == ANSWER


async def test_the_turn_after_a_loss_waits_for_the_component_to_come_back() -> None:
    fakes = FakeComponents.answering(ANSWER)
    outage = Outage(fakes, "speak", "speech_decoder")
    async with talking(fakes, configuration=UNPACED) as talk:
        await talk.ask("What is it?")
        await talk.until("response_done")
        fakes.unready.add("speech_decoder")
        await talk.ask("And now?")
        await asyncio.sleep(6)
        outage.end()
        await talk.until("response_done", 2)
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_FAILED
    assert talk.done(1).outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_after_a_loss_between_turns_the_context_is_rebuilt_from_the_record() -> None:
    fakes = FakeComponents.answering("A red circle.", "Big.")
    async with talking(fakes) as talk:
        await ask_aloud(talk)
        await talk.until("response_done")
        before = talk.context()
        fakes.llm.lose()
        await talk.ask("How big?")
        await talk.until("response_done", 2)
        after = talk.context()
    assert [(role, words.removeprefix("<state>")) for role, words in after[:3]] == [
        (role, words.removeprefix("<state>")) for role, words in before
    ]
    assert after[3:] == [("user", "How big?"), ("assistant", "<state>Big.")]


async def test_a_request_that_kills_whoever_takes_it_does_not_go_round_for_ever() -> None:
    fakes = FakeComponents.answering(ANSWER)
    fakes.bench.faults.extend(Fault("generate", call, 2, lost("llm")) for call in range(100))
    async with talking(fakes, configuration=UNPACED) as talk:
        await talk.ask("What is it?")
        await talk.until("response_done")
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_FAILED
    assert fakes.bench.calls["llm.generate"] < 10


async def test_a_model_that_hangs_ends_the_turn_with_a_clear_error() -> None:
    fakes = FakeComponents.answering(ANSWER)
    fakes.bench.faults.append(Fault("generate", 0, 3))
    async with talking(fakes, configuration=UNPACED) as talk:
        await talk.ask("What is it?")
        await talk.until("response_done")
    # Asked again after the stall, the replacement finishes the answer.
    assert talk.text() == ANSWER


async def test_a_picture_that_is_none_is_told_and_the_conversation_goes_on() -> None:
    fakes = FakeComponents.answering("Yes.")
    async with talking(fakes) as talk:
        await talk.say("e7", image=picture(b"bad picture"))
        failure = await talk.until("failure")
        await talk.say(image=picture())
        await talk.ask("What is it?")
        await talk.until("response_done")
    assert talk.failures() == ["BAD_MEDIA"]
    assert failure.event.failure.client_event_id == "e7"
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_a_bad_picture_within_a_question_fails_its_answer_or_is_told_before_and_is_gone() -> None:
    fakes = FakeComponents.answering("Yes.")
    parts = [ContentPart(image=picture(b"bad picture")), ContentPart(text="What is it?")]
    async with talking(fakes) as talk:
        item = wire.CreateItem(item=Item(role=ROLE_USER, parts=parts))
        await talk.requests.put(wire.ConverseRequest(create_item=item))
        await talk.requests.put(wire.ConverseRequest(create_response=wire.CreateResponse()))
        await talk.until("response_done")
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done", 2)
    told = [*talk.failures(), *([reason(talk.done().failure)] if talk.done().HasField("failure") else [])]
    assert "BAD_MEDIA" in told
    assert talk.done(1).outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_a_recorded_question_survives_the_loss_of_its_encoder() -> None:
    fakes = FakeComponents.answering("Yes.")
    fakes.bench.faults.append(Fault("embeddings", 0, 1, lost("speech_encoder")))
    async with talking(fakes) as talk:
        item = Item(role=ROLE_USER, parts=[ContentPart(audio=clip(1600))])
        await talk.say(create_item=wire.CreateItem(item=item))
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done")
        assert talk.context()[1] == ("user", "▪" * 20)
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED
