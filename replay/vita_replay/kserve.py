"""A server that speaks KServe v2 over gRPC as Triton does, for one component, with somebody else's answers.

What a model answers is a `Behaviour`'s business. Here is what every model has in common: streams and single requests,
pings, cancellation (which ends the call's tasks at once), Triton's errors, health, and the faults that can be had.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from tritonclient.grpc import service_pb2
from vita_components.tensors import Tensor, text_tensor

from vita_replay.behaviour import Asked, Behaviour, Call, Message, Refused, Send
from vita_replay.faults import Faults
from vita_replay.pace import Pace

MESSAGE_BYTES = 64 * 2**20  # as the clients' (vita_components/triton.py)
SERVICE = "inference.GRPCInferenceService"
OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not half of somebody else's connections
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # the clients' keepalive
)
# tritonclient's generated messages come without types.
_pb: Any = service_pb2


def reply_to(asked: Asked, *tensors: Tensor) -> Message:
    """Build a reply to a request."""
    message = _pb.ModelStreamInferResponse()
    response = message.infer_response
    response.model_name, response.model_version, response.id = asked.message.model_name, "1", asked.message.id
    for tensor in tensors:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(tensor.raw)
    return message


def reply_again(response: Message) -> Message:
    """Build the reply that carries a response from elsewhere."""
    return _pb.ModelStreamInferResponse(infer_response=response)


def error_reply(text: str) -> Message:
    """Build Triton's reply to a request that failed."""
    return _pb.ModelStreamInferResponse(error_message=text)


class _Wire:
    """The way back to one client."""

    __slots__ = ("_faults", "_lock", "_write")

    def __init__(self, write: Send, faults: Faults) -> None:
        self._write, self._faults = write, faults
        self._lock = asyncio.Lock()  # grpc.aio allows one write at a time

    async def send(self, message: Message) -> None:
        if self._faults.are_on:
            await self._faults.before_reply(message)
        async with self._lock:
            await self._write(message)

    async def send_pong(self, message: Message) -> None:
        if self._faults.are_on:
            await self._faults.wait()
        async with self._lock:
            await self._write(message)


class ComponentServer:
    """One component behind an address."""

    def __init__(
        self, component: str, behaviour: Behaviour, pace: Pace | None = None, address: str = "127.0.0.1:0"
    ) -> None:
        self.component, self.behaviour = component, behaviour
        self.address = address  # once started: with the port it got
        self.pace = pace or Pace()
        self.faults = Faults(self.pace)
        self.open_calls = 0
        self.request_count = 0  # pings are not counted
        self._server: grpc.aio.Server | None = None
        self._coming: set[asyncio.Task[None]] = set()  # kills, and returns from them

    async def start(self) -> str:
        """Listen; return the address. Raises OSError: it is in use."""
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers((self._handlers(),))
        health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        try:
            port = server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise OSError(f"{self.component} cannot listen on {self.address}") from error
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        await server.start()
        for name in ("", SERVICE):
            await health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server = server
        return self.address

    async def stop(self) -> None:
        """Go away at once: connections end, nobody listens; `start` listens at the same address again."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def kill(self, back_after_s: float | None = None) -> None:
        """Die at once, as a process does: connections end, and what was held is gone. With a time, come back then."""
        self.faults.hang()  # not one more word while the connections end
        task = asyncio.create_task(self._die(back_after_s))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

    async def _die(self, back_after_s: float | None) -> None:
        await self.stop()
        self.faults.go_on()
        if back_after_s is not None:
            await asyncio.sleep(back_after_s)
            await self.start()

    async def infer(self, request: Message, context: grpc.aio.ServicerContext[Message, Message]) -> Message:
        """Answer a request that has one reply."""
        replies: list[Message] = []

        async def keep(message: Message) -> None:
            replies.append(message)

        wire = _Wire(keep, self.faults)
        call = self.behaviour.call(wire.send)
        try:
            await self._take(call, request, wire)
            await call.finish()
        finally:
            call.close()
        if not replies or replies[0].error_message:
            problem = replies[0].error_message if replies else "the request has no reply"
            await context.abort(grpc.StatusCode.INTERNAL, problem)
        return replies[0].infer_response

    async def stream(
        self, requests: AsyncIterator[Message], context: grpc.aio.ServicerContext[Message, Message]
    ) -> None:
        """Answer the requests of a stream, in order, until it is cancelled or all are answered."""
        wire = _Wire(context.write, self.faults)
        call = self.behaviour.call(wire.send)
        self.open_calls += 1
        try:
            async for request in requests:
                await self._take(call, request, wire)
            await call.finish()
        finally:
            self.open_calls -= 1
            call.close()

    async def _take(self, call: Call, request: Message, wire: _Wire) -> None:
        asked = Asked(request)
        if asked.op == "ping":
            await wire.send_pong(self._pong(asked))
            return
        if self.faults.are_on:
            await self.faults.before_request(asked.op)
        self.request_count += 1
        try:
            if request.model_name != self.component:
                await wire.send(error_reply(f"Request for unknown model: '{request.model_name}' is not found"))
                return
            await call.take(asked)
        except Refused as refusal:
            await wire.send(error_reply(str(refusal)))

    def _pong(self, asked: Asked) -> Message:
        kind = [text_tensor("KIND", "pong")] if self.component == "llm" else []
        return reply_to(asked, *kind, text_tensor("OP_REPLY", "pong"))

    async def _is_live(self, request: Message, context: object) -> Message:
        return _pb.ServerLiveResponse(live=True)

    async def _is_ready(self, request: Message, context: object) -> Message:
        return _pb.ServerReadyResponse(ready=True)

    async def _is_model_ready(self, request: Message, context: object) -> Message:
        return _pb.ModelReadyResponse(ready=request.name == self.component)

    async def _statistics(self, request: Message, context: object) -> Message:
        """Triton's counters: requests, and units of work as executions."""
        counts = {"inference_count": self.request_count, "execution_count": self.behaviour.work}
        model = _pb.ModelStatistics(name=self.component, version="1", **counts)
        return _pb.ModelStatisticsResponse(model_stats=[model])

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary = {
            "ModelInfer": (self.infer, _pb.ModelInferRequest),
            "ServerLive": (self._is_live, _pb.ServerLiveRequest),
            "ServerReady": (self._is_ready, _pb.ServerReadyRequest),
            "ModelReady": (self._is_model_ready, _pb.ModelReadyRequest),
            "ModelStatistics": (self._statistics, _pb.ModelStatisticsRequest),
        }
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(handle, request.FromString, _serialized)
            for name, (handle, request) in unary.items()
        }
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self.stream, _pb.ModelInferRequest.FromString, _serialized
        )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


async def counts(address: str, component: str) -> tuple[int, int]:
    """Ask a server, in whichever process, for its requests and its units of work so far."""
    async with contextlib.AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        ask: Any = channel.unary_unary(
            f"/{SERVICE}/ModelStatistics",
            request_serializer=_serialized,
            response_deserializer=_pb.ModelStatisticsResponse.FromString,
        )
        model = (await ask(_pb.ModelStatisticsRequest(name=component))).model_stats[0]
        return model.inference_count, model.execution_count
