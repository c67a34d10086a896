"""KServe v2 over gRPC, as Triton speaks it: requests, replies, streams.

The only importer of tritonclient, and of that only the generated messages. A cancelled await never harms a stream:
reads and writes run in tasks of their own, because grpc.aio ends the whole call when the task that waits in `read` or
`write` is cancelled.

A model whose process has died answers nothing, while Triton goes on saying that it is ready and leaves its streams
open. So whoever waits for a reply for long *doubts* the endpoint; its prober then pings the engine (endpoint.py), and
`lose` ends every stream of an endpoint that does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
from tritonclient.grpc import service_pb2
from vita_runtime.errors import ComponentUnavailable, VitaError
from vita_runtime.tracing import outgoing_metadata

from vita_components.failures import error_of_message, error_of_rpc, garbled, is_refusal, late, lost
from vita_components.taps import Tap
from vita_components.tensors import Reply, Tensor

MESSAGE_BYTES = 64 * 2**20  # a picture of 20 MB and its overhead; a tile's embeddings are 1.8 MB at full size
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # A restarted component must be found again within 200 ms (grpc's own default waits up to 120 s).
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
    # A replica whose host is gone sends no reset: without keepalive a stream to it would hang.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
)
WRITE_S = 5.0  # longest a message may wait for flow control, at a server that answers pings
STALL_S = 0.4  # silence after which a reader doubts the endpoint; a reply is due every 20-100 ms
# tritonclient's generated messages, and this one name of grpc.aio, come without types.
Message = Any
_pb: Any = service_pb2
_SERVICE = "/inference.GRPCInferenceService/"
_EOF: object = vars(grpc.aio)["EOF"]

Parameter = str | int | float


def build_request(
    model: str, tensors: Sequence[Tensor] = (), parameters: Mapping[str, Parameter] | None = None, request_id: str = ""
) -> Message:
    """Build a request to version 1 of a model, or whichever is the latest there."""
    request = _pb.ModelInferRequest(model_name=model, id=request_id)
    for name, value in {**dict(outgoing_metadata()), **(parameters or {})}.items():
        request.parameters[name].CopyFrom(_parameter(value))
    for tensor in tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.append(tensor.raw)
    return request


def parse_reply(response: Message) -> Reply:
    """Take a response's tensors out. Raises ComponentUnavailable: they cannot be read."""
    component = response.model_name or "component"
    if len(response.outputs) != len(response.raw_output_contents):
        raise garbled(component, "tensors without content")
    pairs = zip(response.outputs, response.raw_output_contents, strict=True)
    return Reply({out.name: Tensor(out.name, out.datatype, tuple(out.shape), raw) for out, raw in pairs}, component)


def open_channel(address: str) -> grpc.aio.Channel:
    """Open a channel that connects, and reconnects, by itself."""
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


async def infer(
    channel: grpc.aio.Channel, request: Message, *, deadline_s: float, is_waiting: bool = False, tap: Tap | None = None
) -> Reply:
    """Ask a model that gives one reply.

    Args:
        channel: To the model's server.
        request: What to ask.
        deadline_s: When to give up.
        is_waiting: Wait for a connection, within the deadline, instead of failing without one.
        tap: Where the reply is noted.

    Raises:
        VitaError: as the reply or the failure says.
    """
    ask = channel.unary_unary(
        _SERVICE + "ModelInfer",
        request_serializer=_pb.ModelInferRequest.SerializeToString,
        response_deserializer=_pb.ModelInferResponse.FromString,
    )
    try:
        response = await _reply_to(
            ask(request, timeout=deadline_s, wait_for_ready=is_waiting, metadata=outgoing_metadata())
        )
    except grpc.RpcError as error:
        raise error_of_rpc(request.model_name, error) from error
    if tap is not None:
        tap.reply(response)
    return parse_reply(response)


async def _reply_to(call: Any) -> Message:  # noqa: ANN401  # what is called in it is private
    """Wait for a call's one reply; when nobody waits for it any more, end the call in gRPC's core alone.

    `call.cancel()` would also cancel the task that waits for the core, and what the core holds for that task would
    never be freed: 1 KB, and the 64 KB in which a reply has arrived meanwhile (grpc/grpc#43360).
    """
    replying = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(replying)
    except asyncio.CancelledError:
        if not call.done():
            call._cython_call.cancel("nobody waits for the reply")
        raise


class Deadline:
    """A time by which something must have happened; without one, never. It may be set while it is waited for."""

    def __init__(self, after_s: float | None = None) -> None:
        self._at_s: float | None = None
        if after_s is not None:
            self.start(after_s)

    def start(self, after_s: float) -> None:
        """Count from now."""
        self._at_s = asyncio.get_running_loop().time() + after_s

    def left_s(self) -> float:
        """Seconds left, negative once it has passed."""
        return float("inf") if self._at_s is None else self._at_s - asyncio.get_running_loop().time()


class Stream:
    """One bidirectional stream to a model: many requests, many replies, one cancellation."""

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[Message, Message],
        component: str,
        doubt: Callable[[], None],
        heard: Callable[[], None],
        tap: Tap,
    ) -> None:
        self._call, self._component, self._tap = call, component, tap
        self._doubt, self._note_life = doubt, heard
        self._writing = asyncio.Lock()  # grpc.aio allows one write at a time
        self._writes: set[asyncio.Task[None]] = set()  # also of senders that were cancelled meanwhile
        self._reading: asyncio.Task[Message] | None = None
        self._loss: VitaError | None = None

    async def send(self, request: Message) -> None:
        """Send a request, waiting for room on the wire.

        Raises:
            ComponentUnavailable: the stream is lost.
            ComponentDeadline: the model takes nothing any more.
        """
        writing = asyncio.ensure_future(self._write(request))
        self._writes.add(writing)
        writing.add_done_callback(self._written)
        deadline = Deadline(WRITE_S)
        while not (await asyncio.wait({writing}, timeout=STALL_S))[0]:
            self._doubt()
            # A call that failed before its first message left has no error for who waits to write: gRPC lets them wait.
            if self._call.done() or deadline.left_s() <= 0:
                writing.cancel()
                raise self._heard(lost(self._component)) if self._call.done() else late(self._component)
        self._settled(writing)

    async def receive(self, deadline: Deadline) -> Reply | None:
        """Return the next reply; None: the model ended the stream.

        Raises:
            ComponentUnavailable: the stream is lost.
            ComponentDeadline: no reply in time; the stream may be used further.
            VitaError: what the model answered.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
        reading = self._reading
        while not (await asyncio.wait({reading}, timeout=min(STALL_S, max(0.0, deadline.left_s()))))[0]:
            if deadline.left_s() <= 0:
                raise late(self._component)
            self._doubt()
        self._reading = None
        message = self._settled(reading)
        if message is _EOF:
            return None
        if message.error_message:
            error = error_of_message(self._component, message.error_message)
            self._tap.failed(error, message.error_message)
            raise self._heard(error)
        return parse_reply(message.infer_response)

    async def expect(self, deadline: Deadline) -> Reply:
        """Return the next reply; that there is one is part of the contract. Raises as `receive` does."""
        reply = await self.receive(deadline)
        if reply is None:
            raise self._heard(lost(self._component))
        return reply

    def lose(self, error: VitaError) -> None:
        """End the stream; whoever uses it gets this error."""
        if self._loss is None:
            self._loss = error
            self._tap.failed(error)
        self._call.cancel()
        for writing in self._writes:
            writing.cancel()  # see `send`

    async def close(self) -> None:
        """Cancel whatever the model still does for this stream."""
        self._tap.close()
        self.lose(lost(self._component))
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None

    def _written(self, writing: asyncio.Task[None]) -> None:
        self._writes.discard(writing)
        if not writing.cancelled():
            writing.exception()  # taken note of: the sender may have been cancelled meanwhile

    async def _write(self, request: Message) -> None:
        async with self._writing:
            self._tap.request(request)
            await self._call.write(request)

    async def _read(self) -> Message:
        message = cast("Message", await self._call.read())
        if message is not _EOF and not message.error_message:
            self._note_life()
            self._tap.reply(message.infer_response)
        return message

    def _settled(self, task: asyncio.Task[Message] | asyncio.Task[None]) -> Message:
        """The result of a finished task, its failure translated."""
        if task.cancelled():
            raise self._loss or lost(self._component)
        error = task.exception()
        if error is None:
            return task.result()
        if self._loss is not None:
            raise self._loss
        if isinstance(error, asyncio.InvalidStateError):  # written to after the call had ended
            raise self._heard(lost(self._component))
        if isinstance(error, grpc.RpcError):
            failure = error_of_rpc(self._component, error)
            self._tap.failed(failure)
            raise self._heard(failure) from error
        raise error

    def _heard(self, error: VitaError) -> VitaError:
        """An error that says the endpoint may be gone makes it doubted."""
        if isinstance(error, ComponentUnavailable) and not is_refusal(error):
            self._doubt()
        return error


@asynccontextmanager
async def open_stream(
    channel: grpc.aio.Channel,
    component: str,
    doubt: Callable[[], None],
    *,
    heard: Callable[[], None] = lambda: None,  # the model has answered something
    is_waiting: bool = False,
    address: str = "",  # the replica's, for the tape
) -> AsyncIterator[Stream]:
    """Open a stream; leaving the block cancels it, and with it whatever the model still does for it."""
    # Not the generated stub: it makes ready all of Triton's methods, 0.1 ms, each time.
    begin = channel.stream_stream(
        _SERVICE + "ModelStreamInfer",
        request_serializer=_pb.ModelInferRequest.SerializeToString,
        response_deserializer=_pb.ModelStreamInferResponse.FromString,
    )
    call = begin(wait_for_ready=is_waiting, metadata=outgoing_metadata())
    stream = Stream(call, component, doubt, heard, Tap(component, address))
    try:
        yield stream
    finally:
        await stream.close()


def _parameter(value: Parameter) -> Message:
    if isinstance(value, str):
        return _pb.InferParameter(string_param=value)
    if isinstance(value, int):
        return _pb.InferParameter(int64_param=value)
    return _pb.InferParameter(double_param=value)
