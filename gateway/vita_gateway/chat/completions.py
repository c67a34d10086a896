"""`POST /v1/chat/completions`: one question, one answer, whole or as it is made."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from vita_runtime.errors import VitaError

from vita_gateway.auth import TENANT
from vita_gateway.chat.answer import Answer, Question, ask
from vita_gateway.chat.opening import configuration_of, instructions_of, items_of, opening_of, requests_of
from vita_gateway.chat.request import ChatRequest
from vita_gateway.chat.transcripts import TranscriptCache
from vita_gateway.client_edge import EVENT_STREAM, HEADER, JSON, ClientEdge, wished_form
from vita_gateway.converse import Orchestrator
from vita_gateway.media.audio import encode_answer
from vita_gateway.media.decoding import MediaDecoder
from vita_gateway.observe import ERRORS, Passage
from vita_gateway.openai_errors import ApiError, api_error
from vita_gateway.parsing import parse_model, parse_object
from vita_gateway.settings import Settings

T = TypeVar("T")

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # proxies must not collect what streams
DONE = b"data: [DONE]\n\n"


class ClientGone(Exception):
    """The client closed the connection before its answer was ready."""


@dataclass(frozen=True, slots=True)
class ChatCompletions:
    """The endpoint, with what it needs."""

    settings: Settings
    orchestrator: Orchestrator
    media: MediaDecoder
    transcripts: TranscriptCache

    async def __call__(self, request: Request, passage: Passage) -> Response:
        """Answer one request.

        Raises:
            ApiError: the request is refused, or failed before the first word was sent.
            VitaError: likewise, in our own words.
            ClientGone: nobody waits for the answer any more.
        """
        edge = ClientEdge(wished_form(request.headers.get(HEADER, "")))
        body = await read_body(request, self.settings.max_body_bytes)
        edge.received_json(body)
        chat = await self.media.run(lambda: parse_model(ChatRequest, parse_object(body)))
        chat.check(self.settings.max_messages)
        instructions, items = instructions_of(await items_of(chat, self.media, self.transcripts))
        question = Question(
            opening=opening_of(configuration_of(chat, instructions), edge.wish),
            requests=requests_of(items),
            metadata=passage.metadata(),
            connect_s=self.settings.connect_s,
            answer_s=self.settings.answer_s,
            edge=edge,
        )
        completion = Completion(chat, f"chatcmpl-{uuid.uuid4().hex}", int(time.time()))
        if not chat.stream:
            return await unless_gone(request, self._whole(completion, question))
        return await self._streamed(request, completion, question)

    async def _whole(self, completion: Completion, question: Question) -> Response:
        answer = Answer()
        async for _ in ask(self.orchestrator, question, answer):
            pass
        message: dict[str, object] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.calls:
            message |= {"content": answer.text or None, "tool_calls": answer.tool_calls()}
        if answer.sound and completion.chat.audio is not None:
            audio_id = f"audio_{uuid.uuid4().hex}"
            chosen, pcm = completion.chat.audio.format, b"".join(answer.sound)
            encoded = await self.media.run(lambda: base64.b64encode(encode_answer(pcm, chosen)).decode())
            expires_at = self.transcripts.put(TENANT, audio_id, answer.text)
            message["content"] = None
            message["audio"] = {
                "id": audio_id,
                "data": encoded,
                "expires_at": expires_at,
                "transcript": answer.text,
            }
        content = completion.whole(message, answer)
        question.edge.sent(content)
        question.edge.told(answer.response_id)
        return Response(content, media_type=JSON)

    async def _streamed(self, request: Request, completion: Completion, question: Question) -> Response:
        """Start the stream once the first word, sound or failure is there, so that a refusal is a proper status."""
        answer = Answer()
        events = self._events(completion, question, answer)
        first = await unless_gone(request, anext(events))
        told = _after(first, events, question.edge, answer)
        return StreamingResponse(told, media_type=EVENT_STREAM, headers=STREAM_HEADERS)

    async def _events(self, completion: Completion, question: Question, answer: Answer) -> AsyncGenerator[bytes, None]:
        audio_id = f"audio_{uuid.uuid4().hex}"
        is_begun = False
        try:
            async with contextlib.aclosing(ask(self.orchestrator, question, answer)) as responses:
                async for response in responses:
                    if not is_begun:
                        is_begun = True
                        yield completion.chunk({"role": "assistant", **completion.first_delta(audio_id)})
                    if response.HasField("tool_called"):
                        index = len(answer.calls) - 1
                        yield completion.chunk({"tool_calls": [{"index": index, **answer.tool_calls()[index]}]})
                    elif response.HasField("text_delta"):
                        yield completion.chunk(completion.words_delta(response.text_delta.text))
                    else:
                        data = base64.b64encode(response.answer_audio.audio.samples).decode()
                        yield completion.chunk({"audio": {"data": data}})
        except VitaError as failure:
            if not is_begun:
                raise
            error = api_error(failure)
            ERRORS.labels("chat", error.code).inc()
            yield b"event: error\ndata: " + orjson.dumps(error.body()) + b"\n\n"
            return
        if not is_begun:
            yield completion.chunk({"role": "assistant", "content": ""})
        if answer.sound:
            yield completion.chunk({"audio": {"expires_at": self.transcripts.put(TENANT, audio_id, answer.text)}})
        yield completion.chunk({}, finish_reason=answer.finish_reason)
        if completion.chat.stream_options and completion.chat.stream_options.include_usage:
            yield completion.usage_chunk(answer)
        yield DONE


@dataclass(frozen=True, slots=True)
class Completion:
    """The frame around one answer."""

    chat: ChatRequest
    completion_id: str
    created_s: int

    def whole(self, message: dict[str, object], answer: Answer) -> bytes:
        """Return the body of an answer that is not streamed."""
        choice: dict[str, object] = {
            "index": 0,
            "message": message,
            "finish_reason": answer.finish_reason,
            "logprobs": None,
        }
        return orjson.dumps(self._frame("chat.completion", [choice], answer.usage()))

    def first_delta(self, audio_id: str) -> dict[str, object]:
        """Return the delta that opens the message."""
        if self.chat.is_spoken:
            return {"audio": {"id": audio_id, "transcript": ""}}
        return {"content": ""}

    def words_delta(self, words: str) -> dict[str, object]:
        """Return a delta of words: the transcript where the answer is spoken."""
        return {"audio": {"transcript": words}} if self.chat.is_spoken else {"content": words}

    def chunk(self, delta: dict[str, object], finish_reason: str | None = None) -> bytes:
        """Return one event of the stream."""
        choice: dict[str, object] = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return self._event([choice], None)

    def usage_chunk(self, answer: Answer) -> bytes:
        """Return the event with the counts, which comes last and has no choices."""
        return self._event([], answer.usage())

    def _event(self, choices: list[dict[str, object]], usage: dict[str, object] | None) -> bytes:
        return b"data: " + orjson.dumps(self._frame("chat.completion.chunk", choices, usage)) + b"\n\n"

    def _frame(self, kind: str, choices: list[dict[str, object]], usage: dict[str, object] | None) -> dict[str, object]:
        frame: dict[str, object] = {
            "id": self.completion_id,
            "object": kind,
            "created": self.created_s,
            "model": self.chat.model,
            "choices": choices,
        }
        return frame if usage is None else {**frame, "usage": usage}


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read the request's body, and stop at the limit, whatever its headers say.

    Raises:
        ApiError: 413, it is too long.
    """
    too_long = ApiError(f"the request body is longer than {max_bytes} bytes", code="request_too_large", status=413)
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_long
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise too_long
    return bytes(body)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Do `work`, and stop it when the client closes the connection.

    Raises:
        ClientGone: it did.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _after(
    first: bytes, rest: AsyncGenerator[bytes, None], edge: ClientEdge, answer: Answer
) -> AsyncIterator[bytes]:
    """Yield all events; when the server comes for the next, one has been sent."""
    async with contextlib.aclosing(rest):
        yield first
        edge.sent(first, EVENT_STREAM)
        async for event in rest:
            yield event
            edge.sent(event, EVENT_STREAM)
    edge.told(answer.response_id)
