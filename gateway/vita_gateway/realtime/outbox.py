"""Events on their way to one client: bounded, in order, and each with a deadline.

A client that reads slowly slows the whole way behind it, down to the model. One that does not read at all is closed.
"""

from __future__ import annotations

import asyncio
import uuid

import orjson
from starlette.websockets import WebSocket

from vita_gateway.realtime.server_events import Event

QUEUE = 256  # events; of the largest, 200 ms of sound, that is 3 MB a client


class SlowReader(Exception):
    """The client has not read for too long."""


class Outbox:
    """The one place where events leave a session."""

    def __init__(self, websocket: WebSocket, slow_reader_s: float) -> None:
        self._websocket = websocket
        self._slow_reader_s = slow_reader_s
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)

    async def put(self, *events: Event) -> None:
        """Queue events, waiting while the client is behind."""
        for event in events:
            named = {"event_id": f"event_{uuid.uuid4().hex}", **event}
            await self._queue.put(orjson.dumps(named))

    async def run(self) -> None:
        """Send what is queued, for as long as the session lasts.

        Raises:
            SlowReader: the client does not read.
        """
        while True:
            await self._send(await self._queue.get())

    async def flush(self) -> None:
        """Send what is still queued; for a session's last words, when `run` has ended."""
        while not self._queue.empty():
            await self._send(self._queue.get_nowait())

    async def _send(self, content: bytes) -> None:
        try:
            async with asyncio.timeout(self._slow_reader_s):
                await self._websocket.send_text(content.decode())
        except TimeoutError as error:
            raise SlowReader from error
