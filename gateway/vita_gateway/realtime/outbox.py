"""Events on their way to one client: bounded, in order, and each with a deadline.

A client that reads slowly slows the whole way behind it, down to the model. One that does not read at all is closed.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import cast

import orjson
from starlette.websockets import WebSocket

from vita_gateway.client_edge import ClientEdge
from vita_gateway.realtime.server_events import Event

QUEUE = 256  # events; of 200 ms of sound, that is 3 MB a client
QUEUE_BYTES = 4 * 2**20  # an item with its picture is 1 MB: a client may ask for many and read none


class SlowReader(Exception):
    """The client has not read for too long."""


class Outbox:
    """The one place where events leave a session."""

    def __init__(self, websocket: WebSocket, slow_reader_s: float, edge: ClientEdge) -> None:
        self._websocket = websocket
        self._edge = edge
        self._slow_reader_s = slow_reader_s
        self._queue: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue(QUEUE)  # and the answer that ends with it
        self._queued_bytes = 0
        self._is_taken = asyncio.Event()

    async def put(self, *events: Event) -> None:
        """Queue events, waiting while the client is behind."""
        for event in events:
            content = orjson.dumps({"event_id": f"event_{uuid.uuid4().hex}", **event})
            while self._queued_bytes and self._queued_bytes + len(content) > QUEUE_BYTES:
                self._is_taken.clear()
                await self._is_taken.wait()
            self._queued_bytes += len(content)
            await self._queue.put((content, _ended(event)))

    async def run(self) -> None:
        """Send what is queued, for as long as the session lasts.

        Raises:
            SlowReader: the client does not read.
        """
        while True:
            await self._send(*self._taken(await self._queue.get()))

    async def flush(self) -> None:
        """Send what is still queued; for a session's last words, when `run` has ended."""
        while not self._queue.empty():
            await self._send(*self._taken(self._queue.get_nowait()))

    def _taken(self, queued: tuple[bytes, str]) -> tuple[bytes, str]:
        self._queued_bytes -= len(queued[0])
        self._is_taken.set()
        return queued

    async def _send(self, content: bytes, ended: str) -> None:
        try:
            async with asyncio.timeout(self._slow_reader_s):
                await self._websocket.send_text(content.decode())
        except TimeoutError as error:
            raise SlowReader from error
        self._edge.sent(content)
        if ended:
            self._edge.told(ended)


def _ended(event: Event) -> str:
    """Return the id of the answer that ends with this event; empty: none does."""
    return str(cast("Event", event["response"])["id"]) if event["type"] == "response.done" else ""
