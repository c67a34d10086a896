"""The model's context stays an image of the record, whatever is lost, dropped or interrupted on the way."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_runtime.errors import AtCapacity, VitaError
from vita_sessions.session import drop_sound

from tests.fakes.components import FakeComponents
from tests.fakes.faults import Fault
from tests.orchestrator.talk import SILENCE, VOICE, picture, talking

pytestmark = pytest.mark.unit

LONG = " ".join(f"Sentence number {number} is spoken here." for number in range(12))
TEXT = wire.SessionConfiguration(modality=wire.MODALITY_TEXT)


@pytest.mark.parametrize("modality", [wire.MODALITY_AUDIO, wire.MODALITY_TEXT])
@pytest.mark.parametrize("first_s", [0.02, 0.2, 0.45, 5.0])
async def test_an_answer_interrupted_while_a_replacement_writes_it_again_keeps_its_words(
    first_s: float, modality: wire.Modality
) -> None:
    fakes = FakeComponents.answering(LONG, "Fine.")
    async with talking(fakes, configuration=wire.SessionConfiguration(modality=modality)) as talk:
        await talk.ask("Tell me everything.")
        await talk.until("text_delta", 40)
        await asyncio.sleep(2 if modality == wire.MODALITY_AUDIO else 0)
        fakes.llm.first_s = first_s
        fakes.llm.lose()
        await asyncio.sleep(0.5)
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
        await talk.ask("And now?")
        await talk.until("response_done", 2)
        turns = talk.context()
    kept = talk.session.entries[1].text
    assert len(kept) > 10
    assert [(role, words.removeprefix("<state>")) for role, words in turns[1:4]] == [
        ("user", "Tell me everything."),
        ("assistant", kept),
        ("user", "And now?"),
    ]


async def test_a_conversation_ends_although_its_context_never_opens() -> None:
    fakes = FakeComponents.answering("Yes.")
    fakes.bench.faults.append(Fault("context", 0))
    async with talking(fakes) as talk:
        await talk.say(image=picture())
        await asyncio.sleep(0.1)
        await talk.finish()
        left_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - left_s < 1.0


async def test_a_sound_that_the_record_drops_stays_in_the_context_that_holds_it() -> None:
    fakes = FakeComponents.answering("A red circle.", "Big.", "No.")
    async with talking(fakes, configuration=TEXT) as talk:
        await talk.say(image=picture())
        await talk.speak((VOICE, 960), (SILENCE, 640))
        await talk.until("response_done")
        before = talk.context()
        drop_sound(talk.session.entries[0].item)
        await talk.ask("How big?")
        await talk.until("response_done", 2)
        assert talk.context()[: len(before)] == before
        assert len(fakes.speech_encoder.utterances) == 1
        fakes.llm.lose()
        await talk.ask("Sure?")
        await talk.until("response_done", 3)
        assert talk.context()[1] == ("user", "▪" * 16 + "\n")
    assert talk.done(2).outcome == wire.RESPONSE_OUTCOME_COMPLETED


@pytest.mark.parametrize("error", [AtCapacity("the component is full"), VitaError("a defect of the component")])
@pytest.mark.parametrize("operation", ["encode", "append_embeddings", "llm.context"])
async def test_what_fails_before_anybody_asks_does_not_end_the_conversation(operation: str, error: VitaError) -> None:
    fakes = FakeComponents.answering("Red.")
    fakes.bench.faults.append(Fault(operation, 0, 0, error))
    async with talking(fakes) as talk:
        await talk.say(image=picture())
        await asyncio.sleep(0.5)
        await talk.ask("What is it?")
        await talk.until("response_done")
        assert talk.context()[1] == ("user", "▪" * 16 + "\nWhat is it?")
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED
