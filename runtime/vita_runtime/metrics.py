"""Prometheus metrics, and the small HTTP server that shows them beside the health of the process.

One vocabulary everywhere: the stages in STAGES name histograms' labels, spans and the rows of the latency budget alike.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from vita_runtime.errors import StartupError
from vita_runtime.health import Health
from vita_runtime.settings import split_address

# Seconds. A frame of sound is 0.04, a good first sound 0.3-1, and nobody waits 30: a doubling or less between.
LATENCY_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)

STAGES = (  # of a turn, in order
    "endpointing",
    "vision_encoder",
    "speech_encoder",
    "llm_first_text",
    "llm",
    "speech_decoder_first_codes",
    "speech_decoder",
    "codec_decoder",
    "first_sound",
)

REQUEST_TIMEOUT_S = 5.0  # a scraper sends its request at once
TEXT = "text/plain; charset=utf-8"


@contextlib.asynccontextmanager
async def serve(listen: str, health: Health, registry: CollectorRegistry = REGISTRY) -> AsyncIterator[int]:
    """Serve /metrics, /livez and /readyz on `listen` ("host:port") inside the block; gives the port.

    Raises:
        StartupError: the address cannot be listened on.
    """
    host, port = split_address(listen)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A scraper that hangs up early is its own business.
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            request = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_TIMEOUT_S)
            writer.write(respond(request, health, registry))
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, host, port)
    except OSError as error:
        raise StartupError(f"cannot listen on {listen} for metrics: {error.strerror}") from error
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def respond(request: bytes, health: Health, registry: CollectorRegistry) -> bytes:
    """Return the whole HTTP response to a whole HTTP request."""
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", TEXT, b"only GET\n")
    if path == b"/metrics":
        return _response("200 OK", CONTENT_TYPE_LATEST, generate_latest(registry))
    if path == b"/livez":
        return _response("200 OK", TEXT, b"alive\n")
    if path == b"/readyz":
        status = "200 OK" if health.is_ready else "503 Service Unavailable"
        return _response(status, TEXT, ("\n".join(health.problems() or ["ready"]) + "\n").encode())
    return _response("404 Not Found", TEXT, b"/metrics, /livez and /readyz are here\n")


def _response(status: str, content_type: str, body: bytes) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([*head, "", ""]).encode() + body
