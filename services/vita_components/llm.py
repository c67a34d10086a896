"""Client of `llm`: one stream a session holds its context; operations go up in order, replies carry their number.

An operation that its caller gave up (a cancelled task, an answer left early) still runs in the engine; its late replies
have another number and are passed over. So cancelling never breaks a context: only the position is uncertain until the
next reply.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar, cast

from vita_orchestrator.components import (
    Called,
    Context,
    Embeddings,
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    Judgement,
    QueryState,
    Sampling,
    TextPiece,
    ToolCall,
)
from vita_runtime.errors import ComponentDeadline, ComponentUnavailable

from vita_components.endpoint import Endpoint
from vita_components.failures import error_of_message, garbled
from vita_components.pool import Pool
from vita_components.tensors import Reply, Tensor, text_tensor
from vita_components.triton import Deadline, Message, Parameter, Stream, build_request

OPEN_S = 5.0
POSITIONS = ("appended", "truncated", "checkpoint")  # what says no more than where the context stands
ANSWERS = ("judgement", "text", "tool_call", "end")
REPLY_S = 10.0  # longest wait for a reply: a whole context may have to be read before the first word


Word = TypeVar("Word", QueryState, FinishReason)


class TritonContext:
    """Context over a stream."""

    def __init__(self, endpoint: Endpoint, stream: Stream, session_id: str) -> None:
        self._endpoint, self._stream, self._session_id = endpoint, stream, session_id
        self._sequence = 0  # of the last operation
        self._heard = 1  # the last operation that was answered: operations are answered in order
        self._generation = 0  # answers asked for
        self._answering: int | None = None  # the answer that has not ended, by its sequence number
        self._position = self._capacity = 0

    @property
    def position(self) -> int:
        return self._position

    @property
    def capacity(self) -> int:
        return self._capacity

    async def open(self) -> None:
        """Open the context; done once, before anything else."""
        reply = await self._reply(await self._send("open", {}), OPEN_S, "opened")
        self._capacity = reply.integer("COUNT")

    async def append_text(self, role: str, text: str, *, tools: str = "") -> int:
        offer = [text_tensor("TOOLS", tools)] if tools else []
        return await self._ask_position("append_text", {"role": role}, [text_tensor("TEXT", text), *offer])

    async def append_call(self, call: ToolCall) -> int:
        return await self._ask_position("append_call", {}, [text_tensor("TEXT", call_json(call))])

    async def append_embeddings(self, role: str, embeddings: Embeddings) -> int:
        shape = (embeddings.count, embeddings.width)
        tensor = Tensor("EMBEDDINGS", "FP16", shape, embeddings.rows)
        return await self._ask_position("append_embeddings", {"role": role}, [tensor])

    async def truncate(self, position: int) -> int:
        return await self._ask_position("truncate", {"position": position})

    async def checkpoint(self) -> int:
        return await self._ask_position("checkpoint", {})

    async def generate(self, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        await self._stop_answer()
        self._generation += 1
        with self._endpoint.blamed():  # here too, because who holds the context is not who uses it
            sequence = await self._send("generate", generate_parameters(sampling))
        self._answering = sequence
        try:
            while True:
                with self._endpoint.blamed():
                    event = self._event(await self._reply(sequence, REPLY_S, *ANSWERS))
                if isinstance(event, GenerationEnd):
                    self._answering = None
                    yield event
                    return
                yield event
        finally:
            if self._answering == sequence:
                # If the stream is lost there is nothing to stop; the next call says so.
                with suppress(ComponentUnavailable, ComponentDeadline):
                    await self._stop_answer()

    async def stop(self) -> None:
        if self._answering is not None:
            await self._send("stop", {})

    async def _stop_answer(self) -> None:
        """Stop an answer that nobody reads any more."""
        if self._answering is not None:
            self._answering = None
            await self._send("stop", {})

    async def _ask_position(self, op: str, parameters: Mapping[str, Parameter], tensors: Sequence[Tensor] = ()) -> int:
        """Do an operation whose reply says where the context stands."""
        await self._stop_answer()
        with self._endpoint.blamed():
            await self._reply(await self._send(op, parameters, tensors), REPLY_S, *POSITIONS)
        return self._position

    async def _send(self, op: str, parameters: Mapping[str, Parameter], tensors: Sequence[Tensor] = ()) -> int:
        """Send an operation; return its number."""
        self._sequence += 1
        sequence = self._sequence
        numbers = {"sequence": sequence, "generation": self._generation}
        await self._stream.send(llm_request(self._session_id, op, {**numbers, **parameters}, tensors))
        return sequence

    async def _reply(self, sequence: int, within_s: float, *kinds: str) -> Reply:
        """Wait for a reply to an operation, of some kind, passing over those to operations given up before."""
        deadline = Deadline(within_s)
        while True:
            reply = await self._stream.expect(deadline)
            number, kind = reply.integer("SEQUENCE"), reply.text("KIND")
            if not self._heard <= number <= self._sequence:
                raise garbled("llm", f"SEQUENCE is {number}; {self._heard} to {self._sequence} are to be answered")
            self._heard = number if kind != "error" else self._heard  # a refusal may come before its turn
            if number != sequence:
                continue
            if kind == "error":
                self._answering = None
                raise error_of_message("llm", reply.text("TEXT"))
            if kind not in kinds:
                raise garbled("llm", f"KIND is not one of {', '.join(kinds)}")
            position = reply.integer("POSITION")
            if not 0 <= position <= (self._capacity or position):
                raise garbled("llm", f"POSITION is {position} in a context of {self._capacity}")
            self._position = position
            return reply

    def _event(self, reply: Reply) -> GenerationEvent:
        match reply.text("KIND"):
            case "judgement":
                speech, text, noise = _scores(reply)
                return Judgement(_one_of(QueryState, reply), speech, text, noise)
            case "text":
                return TextPiece(reply.text("TEXT"), reply.integer("COUNT"), self._position)
            case "tool_call":
                return Called(_call(reply), reply.integer("COUNT"), self._position)
            case _:
                return GenerationEnd(_one_of(FinishReason, reply), self._position, reply.integer("COUNT"))


def _scores(reply: Reply) -> tuple[float, ...]:
    scores = reply.numbers("SCORES")
    if len(scores) != len(QueryState) or not all(0 <= score <= 1.001 for score in scores):  # rounded sums of rounded
        raise garbled("llm", f"SCORES are not {len(QueryState)} probabilities")
    return scores


def _one_of(words: type[Word], reply: Reply) -> Word:
    """Read TEXT, which must be one of some words."""
    try:
        return words(reply.text("TEXT"))
    except ValueError:
        raise garbled("llm", f"TEXT is not one of {', '.join(words)}") from None


def call_json(call: ToolCall) -> str:
    """Write a call as the wire does."""
    return f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}'


def _call(reply: Reply) -> ToolCall:
    """Read TEXT, which must be a call."""
    try:
        call = cast("dict[str, object]", json.loads(reply.text("TEXT")))
        name, arguments = call["name"], call["arguments"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise garbled("llm", "TEXT is no call of a tool") from None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise garbled("llm", "TEXT is no call of a tool")
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False))


def llm_request(
    session_id: str, op: str, parameters: Mapping[str, Parameter], tensors: Sequence[Tensor] = ()
) -> Message:
    """Ask for something in a session's context."""
    return build_request("llm", tensors, {"op": op, "session_id": session_id, **parameters})


def generate_parameters(sampling: Sampling) -> dict[str, Parameter]:
    """How the words are drawn, as the wire names it."""
    calls = sampling.calls
    tools: dict[str, Parameter] = {}
    if calls.max_count:
        choice = "required" if calls.is_required else "auto"
        tools = {"max_calls": calls.max_count, "tool_choice": choice, "tool_name": calls.name}
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": float(sampling.temperature),
        "seed": sampling.seed,
        "states": ",".join(sampling.states),
        "noise_threshold": float(sampling.noise_threshold),
        **tools,
    }


@dataclass(frozen=True, slots=True)
class TritonLlm:
    """Llm over Triton."""

    pool: Pool

    @asynccontextmanager
    async def context(self, session_id: str) -> AsyncGenerator[Context]:
        # The engine's name for it is new each time: the old context of a session that reopens may not have gone yet.
        name = f"{session_id}.{secrets.token_hex(4)}"
        async with self.pool.lend(session_id) as endpoint, endpoint.stream() as stream:
            context = TritonContext(endpoint, stream, name)
            await context.open()
            yield context
