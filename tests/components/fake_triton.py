"""A server that speaks KServe as Triton does, in this process, over a unix socket: for faults on cue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from vita_components.tensors import Tensor

Answer = Callable[[Any], AsyncIterator[Any]]  # a ModelInferRequest to responses


class Died(Exception):
    """Raised by an answer: the model's process dies, and Triton says so."""


def response(*tensors: Tensor) -> Any:
    """A ModelInferResponse of some tensors."""
    message = service_pb2.ModelInferResponse()
    for tensor in tensors:
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_output_contents.append(tensor.raw)
    return message


class FakeTriton(GRPCInferenceServiceServicer):
    """One model; `answer` says what it replies to what is not a ping."""

    def __init__(self, folder: Path, name: str, answer: Answer) -> None:
        self.address = f"unix:{folder / name}.sock"
        self.answer = answer
        self.is_hung = False  # the model's process is gone: nothing is answered, streams stay open
        self.refusal = ""  # the error that everything gets, pings too
        self.requests: list[Any] = []  # all but pings
        self.ping_count = 0
        self.open_streams = 0
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server()
        add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        """Go away at once, as a killed process does."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def ModelInfer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # gRPC's name
        if self.refusal:
            await context.abort(grpc.StatusCode.INTERNAL, self.refusal)
        return await anext(self._replies(request))

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: object) -> AsyncIterator[Any]:
        self.open_streams += 1
        try:
            async for request in requests:
                if self.refusal:
                    yield service_pb2.ModelStreamInferResponse(error_message=self.refusal)
                    continue
                try:
                    async for reply in self._replies(request):
                        yield service_pb2.ModelStreamInferResponse(infer_response=reply)
                except Died:
                    self.refusal = "Stub process 'model_0_0' is not healthy."
                    yield service_pb2.ModelStreamInferResponse(error_message=self.refusal)
        finally:
            self.open_streams -= 1

    async def _replies(self, request: Any) -> AsyncIterator[Any]:
        is_ping = request.parameters["op"].string_param == "ping"
        if is_ping:
            self.ping_count += 1
        else:
            self.requests.append(request)
        if self.is_hung:
            await asyncio.Event().wait()
        if is_ping:
            yield response()
            return
        async for reply in self.answer(request):
            yield reply
