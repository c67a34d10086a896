"""Real requests that tell whether a part works. Each returns, or raises NotWell."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from vita_runtime.launcher import kserve
from vita_runtime.launcher.kserve import Tensor, text_tensor
from vita_runtime.settings import split_address

# A ping waits for the step in progress. On a loaded laptop a step can take a second, so slow is not yet dead.
DEADLINE_S = 3.0
HEALTH_METHOD = "/grpc.health.v1.Health/Check"
FIRST_REQUEST_S = 20.0  # the first inference allocates and compiles


class NotWell(Exception):
    """The part did not answer, or not with what it should."""


async def redis(socket: Path) -> None:
    """PING a Redis server on its unix socket."""
    async with _deadline("PING"), _connection(socket) as (reader, writer):
        writer.write(b"PING\r\n")
        if await reader.readline() != b"+PONG\r\n":
            raise NotWell("PING was not answered with PONG")


async def http_ok(address: str, path: str) -> None:
    """GET a path and expect 200."""
    host, port = split_address(address)
    async with _deadline(path), _connection((host, port)) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.readline()).split(b" ", 2)
        if len(status) < 2 or status[1] != b"200":
            body = (await reader.read(2000)).rpartition(b"\r\n\r\n")[2].decode(errors="replace")
            raise NotWell(f"{path} says {' '.join(body.split())[:300] or 'nothing'}")


async def grpc_health(address: str) -> None:
    """Ask gRPC's health service and expect SERVING."""
    async with _deadline("connection"), _connection(split_address(address)):
        pass  # cheaper than a channel while nobody listens yet
    async with _deadline("health check"), grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(HEALTH_METHOD, response_deserializer=health_pb2.HealthCheckResponse.FromString)
        answer = await check(health_pb2.HealthCheckRequest().SerializeToString())
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise NotWell("not serving yet")


async def triton_ping(component: str, address: str) -> None:
    """Send `op=ping` through the component's engine."""
    await _infer(address, [kserve.request(component, {"op": "ping"})], "", 0, DEADLINE_S)


async def first_request(component: str, address: str) -> None:
    """Do one small piece of the component's real work and look at what comes out.

    This build of Triton's Python stub returns tensors of size 0, without an error, when its numpy does not suit it:
    an answer that is merely not an error proves nothing.
    """
    await triton_ping(component, address)
    requests, output, least_bytes = _small_work(component)
    await _infer(address, requests, output, least_bytes, FIRST_REQUEST_S)


def _small_work(component: str) -> tuple[list[bytes], str, int]:
    """Return requests, the output to look at, and how many bytes of it there must be."""

    def request(parameters: Mapping[str, str | int], *inputs: Tensor) -> bytes:
        return kserve.request(component, parameters, inputs)

    session = {"session_id": "launcher-first-request"}
    match component:
        case "vision_encoder":
            picture = grey_png(16)
            tensors = (Tensor("PICTURE", "UINT8", (len(picture),), picture), _int32("MAX_TILES", 1))
            return [request({}, *tensors)], "EMBEDDINGS", 2
        case "speech_encoder":
            silence = Tensor("SAMPLES", "INT16", (16_000,), bytes(32_000))
            ops = [{"op": "open"}, {"op": "push"}, {"op": "finish"}]
            inputs = [(), (silence,), ()]
            return [request({**session, **op}, *i) for op, i in zip(ops, inputs, strict=True)], "EMBEDDINGS", 2
        case "llm":
            context = {**session, "generation": 0}
            requests = [
                request({**context, "op": "open", "sequence": 1}),
                request({**context, "op": "append_text", "role": "user", "sequence": 2}, text_tensor("TEXT", "hello")),
                request({**context, "op": "generate", "max_tokens": 2, "states": "text", "sequence": 3}),
            ]
            return requests, "SCORES", 12
        case "speech_decoder":
            return [request({"seed": 1}, text_tensor("TEXT", "hello"))], "CODES", 4
        case _:
            codes = Tensor("CODES", "INT32", (4,), struct.pack("<4i", 1, 2, 3, 4))
            return [request({}, codes, _int32("KEEP_FROM", 0), _int32("KEEP_COUNT", 4))], "SOUND", 4 * 600 * 2


def grey_png(size_px: int) -> bytes:
    """Return a grey square as a PNG file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", size_px, size_px, 8, 0, 0, 0, 0)  # 8 bits, greyscale
    rows = (b"\0" + b"\x80" * size_px) * size_px
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _int32(name: str, value: int) -> Tensor:
    return Tensor(name, "INT32", (1,), struct.pack("<i", value))


async def _infer(address: str, requests: list[bytes], output: str, least_bytes: int, deadline_s: float) -> None:
    """Send requests on one stream and read responses until `output` has come to `least_bytes`.

    The stream is cancelled then, which releases whatever session it opened.
    """
    async with _deadline("connection"), _connection(split_address(address)):
        pass  # cheaper than a channel while the server is starting and nobody listens yet
    # A probe must see the server as it is now, not a connection that backs off.
    options = [("grpc.use_local_subchannel_pool", 1)]
    made = 0
    async with _deadline("request", deadline_s), grpc.aio.insecure_channel(address, options=options) as channel:
        call = channel.stream_stream(kserve.STREAM_METHOD)()
        try:
            for request in requests:
                await call.write(request)
            while isinstance(message := await call.read(), bytes):  # it is grpc.aio.EOF at the end
                reply = kserve.response(message)
                if reply.error:
                    raise NotWell(reply.error)
                made += len(reply.outputs.get(output, b""))
                if made >= least_bytes:
                    return
        finally:
            call.cancel()
    raise NotWell(f"{made} bytes of {output} came, {least_bytes} are due")


@contextlib.asynccontextmanager
async def _connection(
    address: Path | tuple[str, int],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection and close it after the block."""
    if isinstance(address, Path):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _deadline(what: str, seconds: float = DEADLINE_S) -> AsyncIterator[None]:
    """Turn what can go wrong with a connection inside the block into NotWell."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise NotWell(f"no answer to {what} within {seconds:g} s") from error
    except (OSError, asyncio.IncompleteReadError) as error:
        raise NotWell(f"{what}: {error}") from error
    except grpc.aio.AioRpcError as error:
        raise NotWell(f"{what}: {error.code().name} {error.details()}"[:300]) from error
