"""The record in the store, off the conversation's way."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_orchestrator.saving import Saver
from vita_runtime.errors import SessionTaken, StoreUnavailable
from vita_sessions.memory_store import MemoryStore
from vita_sessions.session import Session
from vita_sessions.store import Lease

from tests.fakes.components import FakeComponents
from tests.orchestrator.talk import SILENCE, VOICE, picture, talking

pytestmark = pytest.mark.unit


class FlakyStore(MemoryStore):
    """A store that can go away."""

    is_away = False

    async def save(self, session: Session, lease: Lease) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        await super().save(session, lease)


async def test_what_a_lost_store_missed_is_written_when_it_is_back() -> None:
    store, session = FlakyStore(now=lambda: 0.0), Session("sess_1", "tenant")
    saver = Saver(store, session, await store.create(session, "me"))
    saving = asyncio.create_task(saver.run())
    store.is_away = True
    session.turn_count = 5
    saver.note()
    await asyncio.sleep(3)
    assert (await store.load("sess_1", "tenant")).turn_count == 0
    store.is_away = False
    await asyncio.sleep(1)
    assert (await store.load("sess_1", "tenant")).turn_count == 5
    saving.cancel()


async def test_a_session_taken_over_ends_its_old_saver() -> None:
    store, session = MemoryStore(now=lambda: 0.0), Session("sess_1", "tenant")
    saver = Saver(store, session, await store.create(session, "me"))
    await store.open("sess_1", "tenant", "another")
    saver.note()
    with pytest.raises(SessionTaken):
        await saver.run()


async def test_a_resumed_session_answers_from_its_record_as_if_nothing_had_happened() -> None:
    async def turns(*, is_interrupted: bool) -> list[tuple[str, str]]:
        fakes = FakeComponents.answering("A red circle.", "Big.")
        async with talking(fakes) as talk:
            await talk.say(image=picture())
            await talk.speak((VOICE, 960), (SILENCE, 640))
            await talk.until("response_done")
            if not is_interrupted:
                await talk.ask("How big?")
                await talk.until("response_done", 2)
                return talk.context()
        async with talking(fakes, session=talk.session) as again:
            await again.ask("How big?")
            await again.until("response_done")
            return again.context()

    def bare(turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(role, words.removeprefix("<state>")) for role, words in turns]

    assert bare(await turns(is_interrupted=True)) == bare(await turns(is_interrupted=False))


async def test_the_record_is_noted_at_the_question_and_at_the_answer() -> None:
    async with talking(FakeComponents.answering("Yes."), configuration=wire.SessionConfiguration()) as talk:
        await talk.speak((VOICE, 960), (SILENCE, 480))
        assert talk.saves == 0
        await talk.speak((SILENCE, 64))
        await talk.until("response_started")
        assert talk.saves == 1
        await talk.until("response_done")
        await asyncio.sleep(0.1)
        assert talk.saves == 2


def test_the_default_prompt_is_the_one_the_tiny_model_was_trained_with() -> None:
    prompt = pytest.importorskip("vita_training.world.prompt")
    from vita_orchestrator.prompt import SYSTEM_PROMPT

    assert prompt.SYSTEM_PROMPT == SYSTEM_PROMPT
