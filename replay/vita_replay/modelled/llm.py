"""A modelled language model: contexts that count as real ones do, and answers whose words are given.

Which answer a query gets depends on its context alone: the n-th query gets the n-th, over and over. So a context that
is replayed elsewhere, or cut and gone on with, is answered alike. Tools are called where that is required only.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections import deque
from dataclasses import dataclass

from vita_components.tensors import Tensor, integer_tensor, text_tensor

from vita_replay.behaviour import Asked, Call, Message, Refused, Send
from vita_replay.kserve import reply_to
from vita_replay.modelled.context import Context, tokens_of
from vita_replay.modelled.costs import Cost
from vita_replay.pace import Pace, Schedule

PIECE_TOKENS = 4  # words go out in pieces of up to this many
PIECE_S = 0.03  # that wait at most this long
STATES = ("speech", "text", "noise")
EIGHT_SECONDS = (
    "A red circle rolls over the green field, and a blue square waits beside the river, under the sun, for them."
)


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """What is answered."""

    answers: tuple[str, ...] = (EIGHT_SECONDS,)
    scores: tuple[float, float, float] = (0.96, 0.03, 0.01)  # speech, text, noise
    capacity: int = 8192  # tokens a context holds
    max_sessions: int = 1024


class Llm:
    """Answers queries."""

    def __init__(self, pace: Pace, cost: Cost | None = None, settings: LlmSettings | None = None) -> None:
        self.pace, self.cost, self.settings = pace, cost or Cost(), settings or LlmSettings()
        self.answers = [tokens_of(answer) for answer in self.settings.answers]
        self.work = self.active = self.sessions = 0

    def call(self, send: Send) -> Call:
        return Session(self, send)


class Session(Call):
    """One stream; it holds one context. A recorded language model does otherwise what is overridden."""

    def __init__(self, llm: Llm, send: Send) -> None:
        self._llm, self.send = llm, send
        self._context: Context | None = None
        self._session_id = ""
        self.meter = Schedule(llm.pace)
        self._waiting: deque[tuple[int, Asked]] = deque()  # behind the answer that is being written
        self._writing: asyncio.Task[None] | None = None
        self._taken = self.stopped = 0  # requests so far; which of them was the last to say stop
        self._read_s = 0.0  # when everything appended has been read

    async def take(self, asked: Asked) -> None:
        self._taken += 1
        match asked.op:
            case "stop":
                self.stopped = self._taken
                self.meter.wake()
            case "end":
                self.close()
            case op if op == "generate" or self._writing is not None:
                self._waiting.append((self._taken, asked))
                if self._writing is None:
                    self._writing = asyncio.create_task(self._work())
            case _:
                await self._do(self._taken, asked)

    async def finish(self) -> None:
        if self._writing is not None:
            await self._writing

    def close(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._waiting.clear()
        self._llm.sessions -= self._context is not None
        self._context = None

    async def _work(self) -> None:
        """Do what waits, in order."""
        while self._waiting:
            await self._do(*self._waiting.popleft())
        self._writing = None

    async def _do(self, number: int, asked: Asked) -> None:
        try:
            if asked.op == "open":
                await self._open(asked)
                return
            if self._context is None or asked.text_parameter("session_id") != self._session_id:
                raise Refused("COMPONENT_UNAVAILABLE", "there is no such session")
            if asked.op == "generate":
                await self.generate(number, asked, self._context)
            else:
                kind = self.change(asked, self._context)
                await self.send(self.reply(asked, kind))
        except Refused as refusal:
            await self.send(self.reply(asked, "error", text=str(refusal)))

    async def _open(self, asked: Asked) -> None:
        settings = self._llm.settings
        if self._llm.sessions >= settings.max_sessions:
            raise Refused("AT_CAPACITY", f"all {settings.max_sessions} sessions are in use")
        self._llm.sessions += self._context is None
        self._context, self._session_id = Context(settings.capacity), asked.text_parameter("session_id")
        self.opened()
        await self.send(self.reply(asked, "opened", count=settings.capacity))

    def change(self, asked: Asked, context: Context) -> str:
        """Do what changes the context at once; return what the reply says."""
        match asked.op:
            case "append_text" | "append_call":
                words = asked.text("TEXT") + (asked.text("TOOLS") if asked.has("TOOLS") else "")
                self._append(context, asked, len(tokens_of(words)))
                return "appended"
            case "append_embeddings":
                self._append(context, asked, asked.row_count("EMBEDDINGS"))
                return "appended"
            case "checkpoint":
                return "checkpoint"
            case "truncate":
                context.truncate(asked.integer("position", -1))
                return "truncated"
            case op:
                raise Refused("BAD_INPUT", f"op: {op!r} is not known")

    def _append(self, context: Context, asked: Asked, count: int) -> None:
        context.append("assistant" if asked.op == "append_call" else asked.text_parameter("role"), count)
        self._read(context)

    def _read(self, context: Context) -> None:
        """Begin to read what has been added."""
        cost_s = self._llm.pace.spend_s(self._llm.cost.per_token_s * context.unread)
        self._read_s = max(self._read_s, asyncio.get_running_loop().time()) + cost_s
        context.unread = 0

    async def generate(self, number: int, asked: Asked, context: Context) -> None:
        llm, before = self._llm, context.position
        states = [state for state in asked.text_parameter("states", "speech,noise").split(",") if state]
        if states or context.role != "assistant":
            context.append("assistant", 0)
            self._read(context)
        llm.active += 1
        try:
            self.meter.begin(self._read_s)
            await self.meter.pay(self._step_s())
            state, scores = judge(llm.settings.scores, states, asked.number("noise_threshold", 0.5))
            if states:
                await self.send(self.reply(asked, "judgement", text=state, scores=scores))
            if states and state == "noise":
                context.truncate(before)
                await self.send(self.reply(asked, "end", text="noise"))
                return
            if asked.text_parameter("tool_choice") == "required":
                await self._call(asked, context)
            else:
                await self._write(number, asked, context)
        finally:
            llm.active -= 1

    async def _call(self, asked: Asked, context: Context) -> None:
        """Write a call of the tool that is wanted; its first token is paid."""
        call = json.dumps({"name": asked.text_parameter("tool_name") or "tool", "arguments": {}})
        count = len(tokens_of(call))
        await self.meter.pay(self._step_s() * (count - 1))
        context.position += count
        self._llm.work += count
        self.wrote("tool_call", call, context)
        await self.send(self.reply(asked, "tool_call", text=call, count=count))
        await self.send(self.reply(asked, "end", text="stop", count=count))

    async def _write(self, number: int, asked: Asked, context: Context) -> None:
        """Write an answer, from where the open turn stands; its first step is paid."""
        words = self._llm.answers[max(0, context.query_count - 1) % len(self._llm.answers)]
        words = words[context.position - context.turns[-1].content :]
        longest = min(asked.integer("max_tokens", 512), context.capacity - context.position, len(words))
        count = 0
        while count < longest and self.stopped < number:
            piece = words[count : count + (self._piece_tokens() if count else 1)][: longest - count]
            if count:
                await self.meter.pay(self._step_s() * len(piece))
                if self.stopped > number:
                    break
            count += len(piece)
            context.position += len(piece)
            self._llm.work += len(piece)
            self.wrote("text", "".join(piece), context)
            await self.send(self.reply(asked, "text", text="".join(piece), count=len(piece)))
        reason = "stop" if count == len(words) else "cancelled" if self.stopped > number else "length"
        await self.send(self.reply(asked, "end", text=reason, count=count))

    def opened(self) -> None:
        """The context is new."""

    def wrote(self, kind: str, text: str, context: Context) -> None:
        """Words or a call have got into the context."""

    def _step_s(self) -> float:
        return self._llm.cost.of(0, self._llm.active - 1)

    def _piece_tokens(self) -> int:
        step_s = self._llm.pace.spend_s(self._step_s())
        return PIECE_TOKENS if not step_s else max(1, min(PIECE_TOKENS, math.floor(PIECE_S / step_s)))

    def reply(
        self, asked: Asked, kind: str, *, text: str = "", count: int = 0, scores: tuple[float, ...] = ()
    ) -> Message:
        return reply_to(
            asked,
            text_tensor("KIND", kind),
            Tensor("SEQUENCE", "INT64", (1,), struct.pack("<q", asked.integer("sequence"))),
            integer_tensor("POSITION", [self._context.position if self._context else 0]),
            integer_tensor("COUNT", [count]),
            text_tensor("TEXT", text),
            *([Tensor("SCORES", "FP32", (3,), struct.pack("<3f", *scores))] if scores else []),
        )


def judge(
    given: tuple[float, float, float], states: list[str], noise_threshold: float
) -> tuple[str, tuple[float, ...]]:
    """The state among those allowed, and the shares of all."""
    allowed = [score if state in states else 0.0 for state, score in zip(STATES, given, strict=True)]
    total = sum(allowed) or 1.0
    shares = tuple(score / total for score in allowed)
    if "noise" in states and shares[2] >= noise_threshold:
        return "noise", shares
    return ("speech" if shares[0] >= shares[1] else "text"), shares
