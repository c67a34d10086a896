"""What is heard of an utterance, whatever happens beside it."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item
from vita_orchestrator.ear import Ear
from vita_orchestrator.endpointing import EndpointingLimits
from vita_orchestrator.hearing import BLOCK_ROWS, BYTES_PER_MS, Hearing
from vita_orchestrator.patience import Outages, Patience

from tests.fakes.components import FakeComponents
from tests.fakes.faults import Fault, lost
from tests.orchestrator.talk import SILENCE, VOICE, LoudVoiceActivity, clip, picture, talking

pytestmark = pytest.mark.unit


async def test_rows_being_read_survive_the_loss_of_their_encoder() -> None:
    fakes = FakeComponents.answering("Yes.")
    hearing = Hearing("item_1", fakes.speech_encoder, Patience(Outages(asyncio.get_running_loop().time)))
    running = asyncio.create_task(hearing.run())
    hearing.hear(VOICE * (16 * 12_845))
    await asyncio.sleep(3)
    rows = hearing.rows(0)
    read = [await anext(rows)]
    pushes = -(-12_845 // 2000)
    fakes.bench.faults.append(Fault("push", 0, pushes, lost("speech_encoder")))
    hearing.hear(VOICE * (16 * 160))
    await asyncio.sleep(0.2)
    read += [embeddings async for embeddings in rows]
    assert [(piece.count, len(piece.rows)) for piece in read] == [
        (BLOCK_ROWS, BLOCK_ROWS * piece.width * 2) for piece in read
    ]
    assert len(read) == 160 // BLOCK_ROWS
    running.cancel()


async def test_sound_goes_out_as_soon_as_it_suffices_for_another_chunk() -> None:
    fakes = FakeComponents.answering("Yes.")
    hearing = Hearing("item_1", fakes.speech_encoder, Patience(Outages(asyncio.get_running_loop().time)))
    running = asyncio.create_task(hearing.run())
    sent_ms: list[int] = []
    for _ in range(40):
        hearing.hear(VOICE * (16 * 10))
        await asyncio.sleep(0.01)
        sent_ms.append(fakes.speech_encoder.utterances[0].sample_count // 16)
    assert sorted(set(sent_ms)) == [0, 160 + 45, 320 + 45]
    assert [sent_ms.index(ms) for ms in (205, 365)] == [20, 36], "at 210 ms and at 370 ms of sound"
    hearing.end()
    await running
    assert fakes.speech_encoder.utterances[0].sample_count == 16 * 400


async def test_an_utterance_being_spoken_is_not_given_up_for_older_ones() -> None:
    fakes = FakeComponents.answering("Yes.")
    async with talking(fakes) as talk:
        for _ in range(8):
            item = Item(role=ROLE_USER, parts=[ContentPart(audio=clip(320))])
            await talk.say(create_item=wire.CreateItem(item=item))
        await talk.speak((VOICE, 1920))
        fakes.llm.lose()
        await talk.say(image=picture())  # the context is rebuilt: all older sounds are heard again
        await talk.speak((VOICE, 1280), (SILENCE, 640))
        await talk.until("response_done")
    long = [utterance for utterance in fakes.speech_encoder.utterances if utterance.sample_count > 16_000]
    assert len(long) == 1


async def test_an_utterance_that_is_cleared_leaves_no_task_behind() -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        counts: list[int] = []
        for turn in range(4):
            await talk.speak((VOICE, 320))
            await talk.say(clear_audio=wire.ClearAudio())
            await talk.until("audio_cleared", turn + 1)
            await asyncio.sleep(1)
            counts.append(len(asyncio.all_tasks()))
    assert len(set(counts)) == 1


async def test_sound_that_was_not_judged_does_not_lie_behind_a_later_onset() -> None:
    ear = Ear(LoudVoiceActivity(), EndpointingLimits(prefix_ms=300))
    ear.keep(SILENCE * (16 * 9600))
    decisions = [ear.judge(p, is_answering=False) for p in await ear.hear(VOICE * (16 * 128))]
    assert decisions[-1] is not None
    sound, start_ms = ear.onset()
    assert len(sound) // BYTES_PER_MS == 300 + 128
    assert start_ms == 9600 - 300


async def test_the_context_is_opened_while_the_user_still_speaks() -> None:
    fakes = FakeComponents.answering("Yes.")
    async with talking(fakes) as talk:
        await talk.speak((VOICE, 320))
        await asyncio.sleep(0.2)
        (context,) = fakes.llm.contexts
        assert context.position > 0, "the instructions are in it"
