"""The gateway's side of `Converse`: one stream a conversation, typed, without queues of its own.

Writing waits for gRPC's flow control and reading for the reader, so a slow client slows the orchestrator and fills no
memory here. Leaving a conversation's block cancels the stream: the work stops in every stage behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import cast

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import conversation_service_pb2_grpc as service
from vita_runtime import keepalive
from vita_runtime.errors import ComponentDeadline, ComponentUnavailable, VitaError

from vita_gateway.openai_errors import RemoteFailure, stream_failure

Call = grpc.aio.StreamStreamCall[wire.ConverseRequest, wire.ConverseResponse]
HealthCheck = grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
Metadata = Sequence[tuple[str, str]]

STORE_LOST = "ERROR_REASON_STORE_UNAVAILABLE"  # a new session is refused then, but one to resume can wait a little
HEALTH_S = 2.0  # a probe asks every few seconds; an orchestrator slower than this is not ready
RETRY_S = 0.2  # between attempts to connect; a restarted orchestrator is found soon
# gRPC's own backoff starts at 1 s and grows to 2 minutes: too slow for a service that is back within a second.
CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    *keepalive.client_options(),
)


class ConversationLost(ComponentUnavailable):
    """The stream ended without having been asked to; the conversation itself may still exist."""


class Conversation:
    """An open Converse stream."""

    def __init__(self, call: Call, opened: wire.Opened, first_sequence_number: int) -> None:
        self.opened = opened
        self.sequence_number = first_sequence_number
        self._call = call
        self._writing = asyncio.Lock()  # gRPC takes one message at a time
        self._reading: asyncio.Task[wire.ConverseResponse | None] | None = None  # also of a reader that is gone

    async def send(self, *requests: wire.ConverseRequest) -> None:
        """Write requests in order, waiting for flow control.

        Raises:
            ConversationLost: the stream has ended; some of the requests may have arrived. `responses` says why.
        """
        async with self._writing:
            for request in requests:
                try:
                    await self._call.write(request)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                    raise ConversationLost("the connection to the conversation service was lost") from error

    async def finish(self) -> None:
        """Say that no more requests come; the current answer goes on to its end."""
        async with self._writing:
            try:
                await self._call.done_writing()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                raise ConversationLost("the connection to the conversation service was lost") from error

    async def responses(self) -> AsyncGenerator[wire.ConverseResponse, None]:
        """Yield what the conversation says, until the stream ends.

        Raises:
            RemoteFailure: the orchestrator ended the stream with a status, or was lost.
        """
        while True:
            response = await self._next()
            if response is None:
                return
            self.sequence_number = response.sequence_number
            yield response

    async def close(self) -> None:
        """Cancel the stream; the work stops in every stage behind it."""
        self._call.cancel()
        if self._reading is not None:
            await asyncio.wait({self._reading})

    async def _next(self) -> wire.ConverseResponse | None:
        """Read in a task that only the stream's end ends.

        If a task is cancelled that waits for gRPC's core, what the core holds for it is never freed: the 64 KB that a
        response has come in (grpc/grpc#43360).
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(_read(self._call))
        response = await asyncio.shield(self._reading)
        self._reading = None
        return response


class Orchestrator:
    """Opens conversations at one address."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = service.ConversationServiceStub(self._channel)
        self._health: HealthCheck = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def close(self) -> None:
        """Close the channel; streams still open are cancelled."""
        await self._channel.close()

    @contextlib.asynccontextmanager
    async def converse(
        self, opening: Callable[[], wire.Open], metadata: Metadata, deadline_s: float
    ) -> AsyncGenerator[Conversation, None]:
        """Open a conversation, and cancel its stream when the block is left.

        An orchestrator that cannot be reached is tried again until `deadline_s` has passed, for it may be restarting;
        `opening` says each time anew how the conversation is to be held.

        Raises:
            RemoteFailure: the orchestrator refused: it is at capacity, its store is gone, no such session.
            ComponentUnavailable: it could not be reached in time.
            ComponentDeadline: it was reached but did not open the conversation in time.
        """
        conversation = await self._open(opening, metadata, time.monotonic() + deadline_s)
        try:
            yield conversation
        finally:
            await conversation.close()

    async def check(self) -> bool:
        """Ask whether the orchestrator takes conversations."""
        try:
            answer = await self._health(health_pb2.HealthCheckRequest(), timeout=HEALTH_S)
        except grpc.aio.AioRpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    async def _open(self, opening: Callable[[], wire.Open], metadata: Metadata, until: float) -> Conversation:
        while True:
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    return await self._open_once(opening(), metadata)
            except TimeoutError as error:
                raise ComponentDeadline("the conversation service did not answer in time") from error
            except VitaError as failure:
                if not (is_connection_failure(failure) or (opening().session_id and failure.reason == STORE_LOST)):
                    raise
                if time.monotonic() + RETRY_S >= until:
                    raise ComponentUnavailable("the conversation service is not reachable") from failure
            await asyncio.sleep(RETRY_S)

    async def _open_once(self, opening: wire.Open, metadata: Metadata) -> Conversation:
        call = cast("Call", self._stub.Converse(metadata=tuple(metadata)))
        try:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # reading says why
                await call.write(wire.ConverseRequest(open=opening))
            response = await _read(call)
            if response is None or response.WhichOneof("event") != "opened":
                raise ConversationLost("the conversation service did not open the conversation")
        except BaseException:
            call.cancel()
            raise
        return Conversation(call, response.opened, response.sequence_number)


def is_connection_failure(failure: VitaError) -> bool:
    """Tell whether a failure is of the way to the orchestrator, or its going away, rather than its answer."""
    if isinstance(failure, RemoteFailure):
        return failure.reason == "ERROR_REASON_DRAINING" or (
            not failure.has_reason and failure.reason == "ERROR_REASON_COMPONENT_UNAVAILABLE"
        )
    return isinstance(failure, ConversationLost)


async def _read(call: Call) -> wire.ConverseResponse | None:
    """Read one response; None at the end of the stream."""
    try:
        response = await call.read()
    except grpc.aio.AioRpcError as error:
        raise stream_failure(error) from error
    # Anything else is grpc.aio.EOF, which the library's types leave out.
    return response if isinstance(response, wire.ConverseResponse) else None
