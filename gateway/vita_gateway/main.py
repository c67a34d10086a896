"""The gateway process: `python -m vita_gateway.main`, configured by the environment alone."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator

import uvicorn
from vita_runtime import garbage, shutdown, tracing
from vita_runtime import logging as vita_logging
from vita_runtime import settings as vita_settings
from vita_runtime.errors import StartupError

from vita_gateway.app import Gateway, build_app
from vita_gateway.settings import MIB, Settings
from vita_gateway.websocket_protocol import WebSocketProtocol

logger = logging.getLogger("vita_gateway.main")  # run as a program, its __name__ says nothing

BACKLOG = 1024  # connections that wait to be accepted
KEEP_ALIVE_S = 75  # longer than the load balancers in front, so that they close first
PING_S = 20.0  # a WebSocket peer that is gone is noticed within twice this


class Server(uvicorn.Server):
    """uvicorn without its own way with signals: the process has one, in vita_runtime.shutdown."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def server_for(gateway: Gateway) -> Server:
    """Return the HTTP server of a gateway; uvicorn's own access log is off: it writes URLs with their queries."""
    # It also notes every WebSocket there, with the query, and below that level all headers.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        build_app(gateway),
        access_log=False,
        log_config=None,
        server_header=False,
        loop="none",
        http="h11",
        ws=WebSocketProtocol,
        # Never less than what one append may hold; a larger message closes the connection with 1009.
        ws_max_size=max(gateway.settings.max_body_bytes, 32 * MIB),
        ws_per_message_deflate=False,  # base64 of sound hardly shrinks, and deflate costs time on every frame
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(gateway.settings.drain_s) + 3,
    )
    return Server(config)


def listening_socket(listen: str) -> socket.socket:
    """Bind "host:port".

    Raises:
        StartupError: it cannot be bound.
    """
    host, port = vita_settings.split_address(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        raise StartupError(f"VITA_GATEWAY_LISTEN: cannot listen on {listen}: {error.strerror}") from error
    return bound


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then let answers finish and sessions close."""
    bound = listening_socket(settings.listen)
    gateway = Gateway(settings)
    server = server_for(gateway)
    serving = asyncio.create_task(server.serve([bound]))
    stopping = asyncio.create_task(stop.wait())
    if not settings.api_key and not ipaddress.ip_address(bound.getsockname()[0]).is_loopback:
        logger.warning("anyone who reaches this address may use the service: VITA_GATEWAY_API_KEY is not set")
    logger.info("gateway listens", extra={"address": settings.listen, "is_key_required": bool(settings.api_key)})
    with garbage.collected():
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    gateway.draining.set()
    await gateway.realtime.wait_until_empty(settings.drain_s + 1.0)
    server.should_exit = True
    await serving


def main() -> None:
    """Run the process."""
    vita_logging.configure("gateway", os.environ.get("VITA_LOG_LEVEL", "INFO"))
    tracing.configure("gateway", os.environ)

    async def serve_until(stop: asyncio.Event) -> None:
        settings = vita_settings.load(Settings, "VITA_GATEWAY_", os.environ)
        await serve(settings, stop)

    shutdown.run(serve_until)


if __name__ == "__main__":
    main()
