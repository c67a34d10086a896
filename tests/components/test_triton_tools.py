"""A real model with the marks of a call, behind the real client, keeps the laws of tools; its weights are random."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from vita_components.llm import TritonLlm
from vita_components.pool import Pool
from vita_orchestrator.components import Components, GenerationEnd
from vita_runtime.errors import BadInput

from tests.components.tool_laws import FORCED, TIME, TOOLS, ToolLaws, all_of
from tests.stack import RunningStack, running_stack
from vita15.config import TINY
from vita15.random_checkpoint import write_random_checkpoint

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def calling_stack(triton: None, scratch: Path) -> Iterator[RunningStack]:
    """The language model alone."""
    weights = scratch / "calling-checkpoint"
    write_random_checkpoint(TINY, 0, weights)
    with running_stack(scratch / "calling", weights, ("llm",)) as running:
        yield running


@pytest.fixture
async def components(calling_stack: RunningStack) -> AsyncIterator[Components]:
    pool = Pool("llm", [calling_stack.address("llm")])
    watching = asyncio.create_task(pool.watch())
    await pool.wait_ready(10)
    yield Components(None, None, TritonLlm(pool), None, None)  # type: ignore[arg-type]  # no law of tools needs them
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await pool.close()


class TestTools(ToolLaws):
    """As every language model."""


async def test_tools_reach_the_model_and_are_not_refused(components: Components) -> None:
    async with components.llm.context("s") as context:
        offered = await context.append_text("system", "Be kind.", tools=TOOLS)
        assert offered > len(TOOLS) / 4, "the schemas are in the context"
        await context.append_text("user", "What time is it?")
        assert await context.append_call(TIME) > offered


async def test_a_choice_that_cannot_be_is_refused_and_the_context_goes_on(components: Components) -> None:
    async with components.llm.context("s") as context:
        position = await context.append_text("user", "What time is it?")
        wrong = dataclasses.replace(FORCED, calls=dataclasses.replace(FORCED.calls, name="get time"))
        with pytest.raises(BadInput, match="tool_name"):
            await all_of(context.generate(wrong))
        with pytest.raises(BadInput, match="TOOLS"):
            await context.append_text("system", "", tools="[{}]")
        assert await context.truncate(position) == position
        assert isinstance((await all_of(context.generate(FORCED)))[-1], GenerationEnd)
