"""What every language model must do with tools, be it trained with them or without."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from vita_orchestrator.components import (
    CallChoice,
    Called,
    Components,
    Context,
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    QueryState,
    Sampling,
    TextPiece,
    ToolCall,
)
from vita_runtime.errors import BadInput

TOOLS = json.dumps([{"name": "get_time", "description": "Tells the time.", "parameters": {"type": "object"}}])
TIME = ToolCall("get_time", "{}")
STATES = (QueryState.SPEECH, QueryState.TEXT)
FORCED = Sampling(max_tokens=40, states=STATES, calls=CallChoice(1, is_required=True, name="get_time"))
FREE = Sampling(max_tokens=12, states=STATES, calls=CallChoice(2))


async def has_tools(context: Context) -> bool:
    """Offer tools; a model without must refuse them, say so, and go on."""
    try:
        await context.append_text("system", "Be kind.", tools=TOOLS)
    except BadInput as refusal:
        assert "tools" in refusal.message  # noqa: PT017  # only where it is refused
        assert context.position == 0
        with pytest.raises(BadInput, match="tools"):
            await context.append_call(TIME)
        await context.append_text("user", "Hello.")
        with pytest.raises(BadInput, match="tools"):
            await all_of(context.generate(FORCED))
        return False
    return True


async def all_of(events: AsyncIterator[GenerationEvent]) -> list[GenerationEvent]:
    """A whole generation."""
    return [event async for event in events]


class ToolLaws:
    """Calls are data, in both directions."""

    async def test_a_call_and_what_the_tool_said_are_part_of_the_context(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            if not await has_tools(context):
                return
            positions = [
                await context.append_text("user", "What time is it?"),
                await context.append_call(TIME),
                await context.append_text("tool", "9:10"),
            ]
            assert positions == sorted(set(positions))
            events = await all_of(context.generate(FREE))
            assert isinstance(events[-1], GenerationEnd)
            assert await context.truncate(positions[0]) == positions[0]

    async def test_a_required_call_has_no_words_before_it(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            if not await has_tools(context):
                return
            position = await context.append_text("user", "What time is it?")
            events = await all_of(context.generate(FORCED))
            assert not any(event.text for event in events if isinstance(event, TextPiece))
            end = events[-1]
            assert isinstance(end, GenerationEnd)
            assert end.reason in (
                FinishReason.STOP,
                FinishReason.LENGTH,
                FinishReason.BAD_CALL,
            )  # random weights ramble
            calls = [event for event in events if isinstance(event, Called)]
            assert len(calls) == (end.reason is FinishReason.STOP)
            assert all(call.call.name == "get_time" and call.position <= end.position for call in calls)
            assert await context.truncate(position) == position

    async def test_without_leave_there_are_words_only(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            await context.append_text("user", "What time is it?")
            events = await all_of(context.generate(Sampling(max_tokens=12, states=STATES)))
            assert not any(isinstance(event, Called) for event in events)
