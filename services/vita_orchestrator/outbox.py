"""Events on their way to the client: numbered, bounded, in order.

The bound is where backpressure starts: a client that reads slowly slows the sound down, through every stage behind it.
One that reads nothing for `stall_s` is taken for gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_runtime.errors import VitaError
from vita_sessions.session import Session

from vita_orchestrator.status import to_status

MAX_EVENTS = 512  # the ring that a resumed client can be given again is as large (design: sessions)
MAX_BYTES = 2 * 2**20  # 40 s of sound

_FIELDS = {
    field.message_type.full_name: field.name
    for field in wire.ConverseResponse.DESCRIPTOR.oneofs_by_name["event"].fields
    if field.message_type is not None
}


class ClientStalledError(Exception):
    """The client does not read."""


class Outbox:
    """One stream's events."""

    def __init__(self, session: Session, stall_s: float) -> None:
        self._session = session
        self._stall_s = stall_s
        self._events: deque[wire.ConverseResponse] = deque()
        self._byte_count = 0
        self._is_closed = False
        self._changed = asyncio.Condition()

    @property
    def is_empty(self) -> bool:
        """Whether every event has been taken."""
        return not self._events

    async def send(self, event: Message, turn_id: str = "") -> None:
        """Number an event and send it, once there is room. Raises ClientStalledError."""
        await self.room()
        await self.put(event, turn_id)

    async def fail(self, error: VitaError, client_event_id: str = "", turn_id: str = "") -> None:
        """Tell the client of a failure that the conversation survives."""
        await self.send(wire.Failure(status=to_status(error), client_event_id=client_event_id), turn_id)

    async def room(self) -> None:
        """Wait until there is room. Raises ClientStalledError."""
        if self._has_room():
            return
        try:
            async with asyncio.timeout(self._stall_s), self._changed:
                await self._changed.wait_for(self._has_room)
        except TimeoutError:
            raise ClientStalledError(f"nothing read for {self._stall_s:g} s") from None

    async def put(self, event: Message, turn_id: str = "") -> None:
        """Number an event and send it without waiting for room; call `room` first."""
        self._session.sequence_number += 1
        response = wire.ConverseResponse(sequence_number=self._session.sequence_number, turn_id=turn_id)
        cast("Message", getattr(response, _FIELDS[event.DESCRIPTOR.full_name])).CopyFrom(event)
        self._events.append(response)
        self._byte_count += response.ByteSize()
        async with self._changed:
            self._changed.notify_all()

    async def close(self) -> None:
        """Nothing more comes."""
        self._is_closed = True
        async with self._changed:
            self._changed.notify_all()

    async def events(self) -> AsyncIterator[wire.ConverseResponse]:
        """Yield the events in order until the outbox is closed and empty."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._events) or self._is_closed)
            if not self._events:
                return
            event = self._events.popleft()
            self._byte_count -= event.ByteSize()
            async with self._changed:
                self._changed.notify_all()
            yield event

    def _has_room(self) -> bool:
        return len(self._events) < MAX_EVENTS and self._byte_count < MAX_BYTES
