"""A recorded language model: answers as a function of the context's content and of the sampling.

A context's content is what was appended and written, joined: how it was cut into requests is timing. A recording begins
in the middle of a conversation, with a context whose beginning it does not hold; the live context has been built from
the record, beginning included. So a recorded answer fits where its content is the end of ours. Positions are the
recorded ones wherever a content's end is known; the history before the recording takes a position for each thing that
is appended, which is never more than it took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vita_replay.behaviour import Asked, Call, Refused, Send
from vita_replay.calls import Call as RecordedCall
from vita_replay.calls import Passed, integers_of, text_of
from vita_replay.contexts import Generation, Unit, appended, content_of, generations, key_of, lengths
from vita_replay.modelled.context import Context
from vita_replay.modelled.costs import ZERO, Cost
from vita_replay.modelled.llm import Llm, LlmSettings, Session
from vita_replay.pace import Pace
from vita_replay.recorded.scripts import LEFT_S


@dataclass(frozen=True, slots=True)
class Said:
    """One reply of a recorded answer."""

    after_s: float  # since it was asked for
    kind: str  # "judgement", "text", "tool_call" or "end"
    text: str
    count: int
    position: int
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """A recorded answer."""

    key: bytes
    position: int  # of the context before
    said: tuple[Said, ...]
    is_whole: bool
    failure: str  # the reason


@dataclass(frozen=True, slots=True)
class RecordedContexts:
    """What a recording knows of contexts."""

    answers: Sequence[RecordedAnswer]  # those first that depend on most, and of which most is known
    lengths: Sequence[tuple[bytes, int]]  # in tokens, by how the content ended


def answers_of(calls: Sequence[RecordedCall], context_position: int) -> RecordedContexts:
    """Return what a recording knows of contexts."""
    theirs = [call for call in calls if call.component == "llm"]
    found = [_answer(generation) for generation in generations(theirs, context_position)]
    found.sort(key=lambda a: (len(a.key), a.is_whole or bool(a.failure), len(a.said)), reverse=True)
    return RecordedContexts(found, lengths(theirs, context_position))


def _answer(generation: Generation) -> RecordedAnswer:
    said: list[Said] = []
    for reply in generation.replies:
        found = reply.outputs()
        kind, text = text_of(found.get("KIND")), text_of(found.get("TEXT"))
        if kind == "end" and text == "cancelled":
            break
        after_s = (reply.time_ns - generation.asked.time_ns) / 1e9
        count = (*integers_of(found.get("COUNT")), 0)[0]
        position = (*integers_of(found.get("POSITION")), generation.position)[0]
        said.append(Said(after_s, kind, text, count, position, generation.scores(found)))
    return RecordedAnswer(generation.key, generation.position, tuple(said), generation.is_whole, generation.failure)


def settings_of(calls: Sequence[RecordedCall], given: LlmSettings) -> LlmSettings:
    """Return the settings with the capacity that recorded contexts had, if any was opened."""
    for call in calls:
        for reply in call.replies if call.component == "llm" else []:
            found = reply.outputs()
            if text_of(found.get("KIND")) == "opened":
                return replace(given, capacity=(*integers_of(found.get("COUNT")), given.capacity)[0])
    return given


class RecordedLlm(Llm):
    """Answers as the recording did."""

    def __init__(
        self, recorded: RecordedContexts, pace: Pace, settings: LlmSettings, fallback: Cost | None = None
    ) -> None:
        super().__init__(pace, fallback or ZERO.llm, settings)
        self._recorded, self._lengths = recorded.answers, recorded.lengths
        self.has_fallback = fallback is not None

    def call(self, send: Send) -> Call:
        return _RecordedSession(self, send)

    def find(self, key: bytes) -> RecordedAnswer | None:
        """Return the recorded answer whose context is the end of this one."""
        return next((answer for answer in self._recorded if key.endswith(answer.key)), None)

    def length_of(self, content: bytes) -> int:
        """Return how long the recorded context was whose content is the end of this one; 0: there was none."""
        return next((length for known, length in self._lengths if content.endswith(known)), 0)


class _RecordedSession(Session):
    """A live context."""

    def __init__(self, llm: RecordedLlm, send: Send) -> None:
        super().__init__(llm, send)
        self._recorded = llm
        self._units: list[Unit] = []

    def opened(self) -> None:
        self._units.clear()

    def change(self, asked: Asked, context: Context) -> str:
        before = context.position
        kind = super().change(asked, context)
        if kind == "appended":
            self._appended(asked, context, before)
        elif kind == "truncated":
            self._cut(context)
        return kind

    def _appended(self, asked: Asked, context: Context, before: int) -> None:
        """Take the recorded position, or one that lies before all of them."""
        unit = appended(Passed(0, 0, asked.message), context.position)
        length = self._recorded.length_of(content_of([*self._units, unit]))
        if length > before:
            _place(context, length)
        elif not self._recorded.has_fallback:
            _place(context, before + 1)
        self._units.append(replace(unit, end=context.position))

    def wrote(self, kind: str, text: str, context: Context) -> None:
        name = {"text": "text", "tool_call": "call"}[kind]
        self._units.append(Unit("assistant", name, text.encode(), context.position))

    async def generate(self, number: int, asked: Asked, context: Context) -> None:
        answer = self._recorded.find(key_of(self._units, Passed(0, 0, asked.message)))
        if answer is not None:
            await self._say(number, asked, context, answer)
        elif self._recorded.has_fallback:
            await super().generate(number, asked, context)
            self._cut(context)
        else:
            raise Refused("INTERNAL", "the recording holds no answer to a context like this")

    async def _say(self, number: int, asked: Asked, context: Context, answer: RecordedAnswer) -> None:
        now, before, count = asyncio.get_running_loop().time, context.position, 0
        started_s = now()
        if asked.text_parameter("states", "speech,noise") or context.role != "assistant":
            context.append("assistant", 0)
        shift = before - answer.position  # a history of another length
        for said in answer.said:
            await self.meter.until(started_s + self._recorded.pace.spend_s(said.after_s))
            if self.stopped > number:
                break
            if said.kind != "end":
                _place(context, max(before, said.position + shift))
            if said.kind in ("text", "tool_call"):
                count += said.count
                self._recorded.work += said.count
                self.wrote(said.kind, said.text, context)
            elif said.kind == "end" and said.text == "noise":
                context.truncate(before)
                self._cut(context)
            await self.send(self.reply(asked, said.kind, text=said.text, count=said.count, scores=said.scores))
            if said.kind == "end":
                return
        if answer.failure:
            raise Refused.saying(f"{answer.failure}: as in the recording")
        if self.stopped < number:
            await self.meter.until(now() + LEFT_S)
        if self.stopped < number:
            raise Refused("INTERNAL", "the recording holds no more of this answer")
        await self.send(self.reply(asked, "end", text="cancelled", count=count))

    def _cut(self, context: Context) -> None:
        """Forget what the context has forgotten."""
        self._units = [unit for unit in self._units if unit.end <= context.position]


def _place(context: Context, position: int) -> None:
    """Say how long the context is; the markers of the open turn lie within it."""
    context.position = position
    if context.turns:
        context.turns[-1].content = min(context.turns[-1].content, position)
