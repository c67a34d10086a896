"""A recorded language model: answers as a function of the context's content and of the sampling.

A context's content is what was appended and written, joined: how it was cut into requests is timing. A recording begins
in the middle of a conversation, with a context whose beginning it does not hold; the live context has been built from
the record, beginning included. So a recorded answer fits where its content is the end of ours. Positions are our own:
whoever asks gives back the positions that it got from us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vita_replay.behaviour import Asked, Call, Refused, Send
from vita_replay.calls import Call as RecordedCall
from vita_replay.calls import Passed, integers_of, text_of
from vita_replay.contexts import Generation, Unit, generations, key_of
from vita_replay.modelled.context import Context
from vita_replay.modelled.costs import ZERO, Cost
from vita_replay.modelled.llm import Llm, LlmSettings, Session
from vita_replay.pace import Pace
from vita_replay.recorded.scripts import LEFT_S


@dataclass(frozen=True, slots=True)
class Said:
    """One reply of a recorded answer."""

    after_s: float  # since it was asked for
    kind: str  # "judgement", "text" or "end"
    text: str
    count: int
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """A recorded answer."""

    key: bytes
    said: tuple[Said, ...]
    is_whole: bool
    failure: str  # the reason


def answers_of(calls: Sequence[RecordedCall], context_position: int) -> list[RecordedAnswer]:
    """Return a recording's answers, those first that depend on most, and of which most is known."""
    theirs = [call for call in calls if call.component == "llm"]
    found = [_answer(generation) for generation in generations(theirs, context_position)]
    return sorted(found, key=lambda a: (len(a.key), a.is_whole or bool(a.failure), len(a.said)), reverse=True)


def _answer(generation: Generation) -> RecordedAnswer:
    said: list[Said] = []
    for reply in generation.replies:
        found = reply.outputs()
        kind, text = text_of(found.get("KIND")), text_of(found.get("TEXT"))
        if kind == "end" and text == "cancelled":
            break
        after_s = (reply.time_ns - generation.asked.time_ns) / 1e9
        count = (*integers_of(found.get("COUNT")), 0)[0]
        said.append(Said(after_s, kind, text, count, generation.scores(found)))
    return RecordedAnswer(generation.key, tuple(said), generation.is_whole, generation.failure)


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
        self, answers: Sequence[RecordedAnswer], pace: Pace, settings: LlmSettings, fallback: Cost | None = None
    ) -> None:
        super().__init__(pace, fallback or ZERO.llm, settings)
        self._recorded = answers
        self.has_fallback = fallback is not None

    def call(self, send: Send) -> Call:
        return _RecordedSession(self, send)

    def find(self, key: bytes) -> RecordedAnswer | None:
        """Return the recorded answer whose context is the end of this one."""
        return next((answer for answer in self._recorded if key.endswith(answer.key)), None)


class _RecordedSession(Session):
    """A live context."""

    def __init__(self, llm: RecordedLlm, send: Send) -> None:
        super().__init__(llm, send)
        self._recorded = llm
        self._units: list[Unit] = []

    def opened(self) -> None:
        self._units.clear()

    def change(self, asked: Asked, context: Context) -> str:
        kind = super().change(asked, context)
        role = asked.text_parameter("role")
        if asked.op == "append_text":
            self._units.append(Unit(role, "text", asked.text("TEXT").encode(), context.position))
        elif asked.op == "append_embeddings":
            self._units.append(Unit(role, "rows", asked.tensor("EMBEDDINGS").raw, context.position))
        elif kind == "truncated":
            self._cut(context)
        return kind

    def wrote(self, text: str, context: Context) -> None:
        self._units.append(Unit("assistant", "text", text.encode(), context.position))

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
        for said in answer.said:
            await self.meter.until(started_s + self._recorded.pace.spend_s(said.after_s))
            if self.stopped > number:
                break
            if said.kind == "text":
                count += said.count
                context.position += max(said.count, 1)
                self._recorded.work += said.count
                self.wrote(said.text, context)
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
