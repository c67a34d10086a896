"""Thinking: the model's answer, event by event, also across the loss of the replica that writes it.

A replacement is given the same context and, greedy or seeded, writes the same words; those that are out already are
skipped. Should they differ, the answer fails: words that were spoken cannot be taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from vita_runtime.errors import ComponentUnavailable, VitaError

from vita_orchestrator.components import (
    Called,
    GenerationEnd,
    GenerationEvent,
    Judgement,
    Sampling,
    TextPiece,
    ToolCall,
)
from vita_orchestrator.context import ContextKeeper, Plan
from vita_orchestrator.patience import LOST, Patience

DIFFERS = "llm: its replacement answered differently"


class ReplayDiffersError(ComponentUnavailable):
    """The replacement wrote other words: asking again would not help."""


@dataclass(frozen=True, slots=True)
class Thought:
    """More words of an answer."""

    text: str


async def think(
    keeper: ContextKeeper, plan: Plan, sampling: Sampling, patience: Patience
) -> AsyncGenerator[Judgement | Thought | ToolCall | GenerationEnd]:
    """Yield one Judgement, Thoughts, ToolCalls, one GenerationEnd.

    Raises:
        ContextFull: the last turn alone does not fit.
        ComponentUnavailable, ComponentDeadline: a component was lost and patience ended.
        BadMedia: a picture is none.
    """
    out, is_judged = "", False
    called: list[ToolCall] = []  # that are out
    deadline_s: float | None = None
    lost: VitaError | None = None
    while True:
        written, call_count = "", 0
        try:
            async with aclosing(keeper.generate(plan, sampling)) as events:
                while (event := await _next(events, deadline_s, lost)) is not None:
                    deadline_s = None
                    patience.worked("llm")
                    match event:
                        case Judgement():
                            if not is_judged:
                                is_judged = True
                                yield event
                        case TextPiece():
                            written += event.text
                            if more := _beyond(out, written):
                                out += more
                                yield Thought(more)
                        case Called(call):
                            call_count += 1
                            if call_count > len(called):
                                called.append(call)
                                yield call
                            elif call != called[call_count - 1]:
                                raise ReplayDiffersError(DIFFERS, component="llm")
                        case GenerationEnd():
                            yield event
                return
        except ReplayDiffersError:
            raise
        except LOST as error:
            lost = error
        deadline_s = await patience.after(lost)


async def _next(
    events: AsyncGenerator[GenerationEvent], deadline_s: float | None, lost: VitaError | None
) -> GenerationEvent | None:
    """Return the next event; once something was lost, the loss itself if nothing comes in time."""
    try:
        async with asyncio.timeout_at(deadline_s):
            return await anext(events, None)
    except TimeoutError:
        raise lost or TimeoutError from None


def _beyond(out: str, written: str) -> str:
    """Return what `written` adds to the words that are out."""
    if len(written) <= len(out):
        if out.startswith(written):
            return ""
    elif written.startswith(out):
        return written[len(out) :]
    raise ReplayDiffersError(DIFFERS, component="llm")
