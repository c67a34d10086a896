"""One answer as it comes in, and what OpenAI calls its parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import item_pb2
from vita_runtime.errors import ComponentDeadline

from vita_gateway.client_edge import ClientEdge
from vita_gateway.converse import Conversation, ConversationLost, Metadata, Orchestrator
from vita_gateway.observe import FIRST_AUDIO_SECONDS, RESPONSES
from vita_gateway.openai_errors import remote_failure

REPORT_S = 2.0  # longest wait for a client to read the end of a recorded answer, and for the recording to take it
_reports: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks but weakly

FINISH_REASONS = {wire.RESPONSE_OUTCOME_LENGTH: "length"}  # all other good endings are "tool_calls" or "stop"


@dataclass(slots=True)
class Answer:
    """What has been said so far."""

    words: list[str] = field(default_factory=list[str])
    sound: list[bytes] = field(default_factory=list[bytes])  # 24 kHz, 16 bits
    calls: list[item_pb2.ToolCall] = field(default_factory=list[item_pb2.ToolCall])
    done: wire.ResponseDone | None = None

    @property
    def text(self) -> str:
        """All words."""
        return "".join(self.words)

    @property
    def response_id(self) -> str:
        """The conversation's name for it, once it is done."""
        return self.done.response_id if self.done else ""

    @property
    def finish_reason(self) -> str:
        """OpenAI's word for how it ended."""
        if self.done and self.done.outcome in FINISH_REASONS:
            return FINISH_REASONS[self.done.outcome]
        return "tool_calls" if self.calls else "stop"

    def tool_calls(self) -> list[dict[str, object]]:
        """OpenAI's form of the calls."""
        return [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.calls
        ]

    def usage(self) -> dict[str, object]:
        """OpenAI's counts."""
        used = self.done.usage if self.done else wire.Usage()
        prompt = used.input_text_token_count + used.input_audio_token_count + used.input_image_token_count
        completion = used.output_text_token_count + used.output_audio_token_count
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {
                "text_tokens": used.input_text_token_count,
                "audio_tokens": used.input_audio_token_count,
                "image_tokens": used.input_image_token_count,
                "cached_tokens": 0,
            },
            "completion_tokens_details": {
                "text_tokens": used.output_text_token_count,
                "audio_tokens": used.output_audio_token_count,
                "reasoning_tokens": 0,
            },
        }


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that is needed to ask."""

    opening: wire.Open
    requests: Sequence[wire.ConverseRequest]
    metadata: Metadata
    connect_s: float
    answer_s: float
    edge: ClientEdge


async def ask(
    orchestrator: Orchestrator, question: Question, answer: Answer
) -> AsyncGenerator[wire.ConverseResponse, None]:
    """Ask, fill `answer` in and yield each response that brings words, sound or a call, until the answer is done.

    Closing the generator cancels the work behind it.

    Raises:
        VitaError: the question was refused, or answering failed; `answer` holds what had been said by then.
    """
    started_s = time.monotonic()
    until = started_s + question.answer_s
    async with AsyncExitStack() as leaving:
        opening = orchestrator.converse(lambda: question.opening, question.metadata, question.connect_s)
        conversation = await leaving.enter_async_context(opening)
        question.edge.open(conversation.opened)
        telling = asyncio.create_task(_tell(conversation, question))
        responses = conversation.responses()
        try:
            while answer.done is None:
                response = await _next(responses, until)
                if response.HasField("answer_audio") and not answer.sound:
                    FIRST_AUDIO_SECONDS.labels("chat").observe(time.monotonic() - started_s)
                if _take(response, answer):
                    yield response
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        if question.edge.is_recorded:
            _report_later(conversation, question.edge, leaving.pop_all())
    assert answer.done is not None  # the loop's condition
    status = wire.ResponseOutcome.Name(answer.done.outcome).removeprefix("RESPONSE_OUTCOME_").lower()
    RESPONSES.labels("chat", status).inc()
    if answer.done.outcome == wire.RESPONSE_OUTCOME_FAILED:
        raise remote_failure(answer.done.failure)


async def _tell(conversation: Conversation, question: Question) -> None:
    """Write all requests; a failure to write shows in what is read."""
    await conversation.send(*question.requests)
    if not question.edge.is_recorded:  # else something more will be said
        await conversation.finish()


def _report_later(conversation: Conversation, edge: ClientEdge, leaving: AsyncExitStack) -> None:
    """Leave a recorded conversation once the client has been told everything, and that has been reported."""

    async def report() -> None:
        async with leaving:
            with suppress(TimeoutError, ConversationLost):
                async with asyncio.timeout(REPORT_S):
                    await conversation.send(await edge.next_parcel())
                    await conversation.finish()
                    async for _ in conversation.responses():
                        pass

    reporting = asyncio.create_task(report())
    _reports.add(reporting)
    reporting.add_done_callback(_reports.discard)


async def _next(responses: AsyncGenerator[wire.ConverseResponse, None], until: float) -> wire.ConverseResponse:
    try:
        async with asyncio.timeout(until - time.monotonic()):
            return await anext(responses)
    except TimeoutError as error:
        raise ComponentDeadline("the answer took too long") from error
    except StopAsyncIteration as error:
        raise ConversationLost("the conversation service ended the conversation before the answer was done") from error


def _take(response: wire.ConverseResponse, answer: Answer) -> bool:
    """Note what a response brings; tell whether it is words, sound or a call."""
    if response.HasField("text_delta"):
        answer.words.append(response.text_delta.text)
        return True
    if response.HasField("answer_audio"):
        answer.sound.append(response.answer_audio.audio.samples)
        return True
    if response.HasField("tool_called"):
        answer.calls.append(response.tool_called.item.tool_call)
        return True
    if response.HasField("response_done"):
        answer.done = response.response_done
    elif response.HasField("failure"):
        raise remote_failure(response.failure.status)
    return False
