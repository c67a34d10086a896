"""The fakes keep the laws of the components, fail on cue, and count what they do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from vita_orchestrator.components import Components, Sampling, TextPiece
from vita_runtime.errors import ComponentUnavailable

from tests.components.laws import ComponentLaws, all_of, written
from tests.fakes.components import FakeComponents, codes_of
from tests.fakes.faults import Fault, lost
from tests.fakes.llm import Answer

pytestmark = pytest.mark.unit

STORY = "Once upon a time there was a red circle, and it rolled away. " * 5


@pytest.fixture
def fakes() -> FakeComponents:
    return FakeComponents.answering(STORY)


@pytest.fixture
def components(fakes: FakeComponents) -> Components:
    return fakes.components


@pytest.fixture
def picture() -> bytes:
    return b"a picture"


class TestFakes(ComponentLaws):
    """As every component."""


async def test_each_query_gets_the_next_answer_and_a_replay_the_same() -> None:
    fakes = FakeComponents.answering("First.", Answer("Second.", noise=0.4, speech=0.6))
    for _ in range(2):
        async with fakes.components.llm.context("s") as context:
            await context.append_text("user", "one")
            assert await written(context, Sampling()) == "First."
            await context.append_text("user", "two")
            assert await written(context, Sampling()) == "Second."


async def test_a_context_shows_who_said_what(fakes: FakeComponents) -> None:
    async with fakes.components.llm.context("s") as context:
        await context.append_text("system", "Be kind.")
        await context.append_text("user", "Hello")
        await context.append_text("user", " there.")
        assert fakes.llm.contexts[0].turns() == [("system", "Be kind."), ("user", "Hello there.")]


async def test_time_passes_without_being_waited_for(fakes: FakeComponents) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(3600)
    assert await asyncio.to_thread(lambda: "from a thread") == "from a thread"
    assert 3600 <= loop.time() < 3601


async def test_a_stream_works_at_its_own_pace_until_it_is_left(fakes: FakeComponents) -> None:
    async with fakes.components.llm.context("s") as context:
        await context.append_text("user", "Hello.")
        async with aclosing(context.generate(Sampling())) as events:
            assert await anext(events)
            await asyncio.sleep(0.5)
        left_s = asyncio.get_running_loop().time()
        await asyncio.sleep(1.0)
    assert len([work for work in fakes.bench.work if work.operation == "generate"]) > 10
    assert fakes.bench.work_after(left_s) == []


async def test_a_call_fails_is_slow_or_hangs_as_told(fakes: FakeComponents) -> None:
    loop = asyncio.get_running_loop()
    fakes.bench.faults += [
        Fault("decode", at_call=0, error=lost("codec_decoder")),
        Fault("decode", at_call=1, delay_s=5.0),
        Fault("decode", at_call=2),
    ]
    codec = fakes.components.codec_decoder
    with pytest.raises(ComponentUnavailable):
        await codec.decode((1, 2), keep_from=0, keep_count=2)
    assert codes_of(await codec.decode((1, 2), keep_from=0, keep_count=2)) == (1, 2)
    assert loop.time() > 5.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(codec.decode((1, 2), keep_from=0, keep_count=2), 60)


async def test_an_answer_is_lost_after_some_words(fakes: FakeComponents) -> None:
    fakes.bench.faults.append(Fault("generate", after_outputs=3, error=lost("llm")))
    async with fakes.components.llm.context("s") as context:
        await context.append_text("user", "Hello.")
        async with aclosing(context.generate(Sampling())) as events:
            said = [await anext(events) for _ in range(4)]
            with pytest.raises(ComponentUnavailable):
                await anext(events)
        assert sum(isinstance(event, TextPiece) for event in said) == 3


async def test_a_lost_replica_loses_every_context_but_not_those_opened_later(fakes: FakeComponents) -> None:
    async with fakes.components.llm.context("old") as old:
        await old.append_text("user", "Hello.")
        fakes.llm.lose()
        with pytest.raises(ComponentUnavailable):
            await old.checkpoint()
        async with fakes.components.llm.context("new") as new:
            await new.append_text("user", "Hello.")
            assert await all_of(new.generate(Sampling()))
