"""The smallest programs with the same transport and event loop as ours: what there is to compare plumbing with.

    echo   gives every message back on the same stream
    sink   takes pieces of sound, notes how late each came, gives a reply the size of two embeddings
    relay  joins frames of sound to pieces and hands them to a sink; nothing else

`python -m vita_evaluation.plumbing.raw relay --to 127.0.0.1:1234` prints its address as JSON and serves until SIGTERM.
A line `report` on its standard input makes it print what it has noted since the last one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
import grpc.aio
from vita_runtime import shutdown, stalls

from vita_evaluation.plumbing.frames import FRAME_BYTES, FRAMES_PER_PIECE, delays_ms
from vita_evaluation.plumbing.reporting import reports

SERVICE, METHOD = "bench.Raw", "Stream"
PATH = f"/{SERVICE}/{METHOD}"
REPLY = bytes(2 * 384 * 2 + 100)  # two embeddings of the tiny model, and an envelope

Context = grpc.aio.ServicerContext[bytes, bytes]
Handle = Callable[[AsyncIterator[bytes], Context], Awaitable[None]]


class Raw:
    """The three programs' handlers, and what they note."""

    def __init__(self, upstream: grpc.aio.Channel | None = None) -> None:
        self._upstream = upstream
        self.delays_ms: list[float] = []
        self.stalls_s: list[float] = []

    async def echo(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Give back."""
        async for request in requests:
            await context.write(request)

    async def sink(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Take pieces."""
        async for request in requests:
            self.delays_ms.extend(delays_ms(request))
            await context.write(REPLY)

    async def relay(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Hand pieces on."""
        assert self._upstream is not None, "a relay is told where to"
        call = open_raw(self._upstream)

        async def read() -> None:
            while isinstance(await call.read(), bytes):
                pass

        reading = asyncio.create_task(read())
        held = bytearray()
        try:
            async for request in requests:
                held += request
                if len(held) >= FRAME_BYTES * FRAMES_PER_PIECE:
                    await call.write(bytes(held))
                    held.clear()
        finally:
            call.cancel()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def report(self) -> dict[str, object]:
        """Return what was noted since the last report."""
        longest_ms = max(self.stalls_s, default=0.0) * 1000
        noted: dict[str, object] = {"delays_ms": self.delays_ms, "longest_stall_ms": longest_ms}
        self.delays_ms, self.stalls_s = [], []
        return noted


def open_raw(channel: grpc.aio.Channel) -> grpc.aio.StreamStreamCall[bytes, bytes]:
    """Open a stream of plain bytes."""
    return channel.stream_stream(PATH)()


async def serve(role: str, to: str, stop: asyncio.Event) -> None:
    """Serve until `stop`."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(grpc.aio.insecure_channel(to)) if to else None
        raw = Raw(upstream)
        handle: Handle = {"echo": raw.echo, "sink": raw.sink, "relay": raw.relay}[role]
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        method = grpc.stream_stream_rpc_method_handler(handle)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: method}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        stack.enter_context(stalls.watched(lambda late_s: raw.stalls_s.append(late_s)))
        await stack.enter_async_context(reports(raw.report))
        print(json.dumps({role: f"127.0.0.1:{port}"}), flush=True)
        await stop.wait()


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("echo", "sink", "relay"))
    parser.add_argument("--to", default="", help="where a relay hands things on to")
    given = parser.parse_args()
    shutdown.run(lambda stop: serve(given.role, given.to, stop))


if __name__ == "__main__":
    main()
