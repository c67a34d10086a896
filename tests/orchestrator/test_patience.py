"""How long a lost component is waited for."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item
from vita_orchestrator.patience import LOSS_PATIENCE_S, OUTAGE_PATIENCE_S, RETRY_S, Haste, Losses, Outages, Patience
from vita_runtime.errors import ComponentUnavailable, VitaError

from tests.fakes.components import FakeComponents
from tests.fakes.faults import Fault, lost
from tests.orchestrator.talk import picture, talking

pytestmark = pytest.mark.unit

LOSS = lost("llm")


async def waited_s(patience: Patience, loss: VitaError = LOSS) -> float:
    """Ask for what stays lost; return how long that was done."""
    started_s = patience.now()

    async def ask() -> None:
        raise loss

    with pytest.raises(ComponentUnavailable):
        await patience.call("llm", ask)
    return patience.now() - started_s


def outages(*unready: str) -> Outages:
    return Outages(asyncio.get_running_loop().time, lambda: unready)


async def test_a_loss_in_a_turn_is_given_less_than_one_that_was_known_when_it_began() -> None:
    assert LOSS_PATIENCE_S - RETRY_S <= await waited_s(Patience(outages())) <= LOSS_PATIENCE_S
    assert OUTAGE_PATIENCE_S - RETRY_S <= await waited_s(Patience(outages("llm"))) <= OUTAGE_PATIENCE_S


async def test_a_loss_before_the_question_is_counted_from_the_question() -> None:
    unready: list[str] = []
    process = Outages(asyncio.get_running_loop().time, lambda: unready)
    turn = Losses(process)
    unready.append("llm")
    await asyncio.sleep(5)  # the user is still speaking
    patience = Patience(process, turn)
    await asyncio.sleep(1)  # as long as the first request took to fail
    assert await waited_s(patience) <= LOSS_PATIENCE_S - 1


async def test_what_was_waited_for_and_came_back_is_news_when_it_is_lost_again() -> None:
    patience = Patience(outages("llm"))
    await asyncio.sleep(OUTAGE_PATIENCE_S)
    patience.worked("llm")
    assert LOSS_PATIENCE_S - RETRY_S <= await waited_s(patience) <= LOSS_PATIENCE_S


async def test_a_loss_is_counted_from_when_the_component_was_last_heard_of() -> None:
    patience = Patience(outages())
    await asyncio.sleep(5)
    silent = lost("llm")
    assert isinstance(silent, ComponentUnavailable)
    silent.silent_s = 2.0
    assert LOSS_PATIENCE_S - 2.0 - RETRY_S <= await waited_s(patience, silent) <= LOSS_PATIENCE_S - 2.0


async def test_what_is_known_to_be_lost_is_counted_from_when_it_was_last_heard_of() -> None:
    unready: list[str] = []
    process = Outages(asyncio.get_running_loop().time, lambda: unready, lambda _: 1.5)
    turn = Losses(process)
    await asyncio.sleep(5)
    turn.asked_s = process.now() - 2.0
    unready.append("llm")
    assert LOSS_PATIENCE_S - 1.5 - RETRY_S <= await waited_s(Patience(process, turn)) <= LOSS_PATIENCE_S - 1.5


async def test_what_an_answer_comes_to_late_has_no_more_time_than_the_answer() -> None:
    unready: list[str] = []
    process = Outages(asyncio.get_running_loop().time, lambda: unready)
    turn = Losses(process)
    unready.append("llm")
    Patience(process, turn)  # sees the loss
    turn.asked_s = process.now()
    await asyncio.sleep(1.0)
    assert await waited_s(Patience(process, turn)) <= LOSS_PATIENCE_S - 1.0


async def test_haste_waits_for_nothing() -> None:
    assert await waited_s(Haste(outages("llm"))) == 0


async def test_a_loss_that_only_preparation_saw_is_forgotten_when_the_component_is_well() -> None:
    fakes = FakeComponents.answering("Yes.")
    fakes.bench.faults.append(Fault("encode", 0, 0, lost("vision_encoder")))
    async with talking(fakes) as talk:
        shown = Item(item_id="shown", role=ROLE_USER, parts=[ContentPart(image=picture(b"one"))])
        await talk.say(create_item=wire.CreateItem(item=shown))
        await asyncio.sleep(0.2)
        await talk.say(delete_item=wire.DeleteItem(item_id="shown"))
        await talk.ask("Hello?")
        await talk.until("response_done")
        await asyncio.sleep(3600)
        assert fakes.bench.calls["vision_encoder.encode"] == 1, "nobody has used it since"
        fakes.bench.faults[:] = [Fault("encode", call, 0, lost("vision_encoder")) for call in range(500)]
        await talk.say(image=picture(b"two"))
        await talk.ask("What is it?")
        started = await talk.until("response_started", 2)
        done = await talk.until("response_done", 2)
    assert talk.done(1).outcome == wire.RESPONSE_OUTCOME_FAILED
    assert done.at_s - started.at_s <= 3.0
