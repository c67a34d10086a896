"""What passes between one client and the gateway, kept for the recording of a turn and for nothing else.

The conversation says at its start whether it is recorded. If so, what was kept is sent to it each time that an answer's
last event has gone out. Where that never comes, the newest is kept: a microphone may be open for long before a turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import Counter
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1 import recording_pb2 as recording

from vita_gateway.openai_errors import ApiError

DROPPED = Counter("vita_gateway_client_records_dropped", "Messages of recorded clients that were not kept.")
MAX_BYTES = 8 * 2**20  # three minutes of a microphone; half of what one message to the orchestrator may hold
NOTE_BYTES = 100  # of a note itself
HEADER, PARAMETER = "x-vita-recording", "recording"
FORMS = {
    "": recording.FORM_UNSPECIFIED,
    "full": recording.FORM_FULL,
    "redacted": recording.FORM_REDACTED,
}
JSON, EVENT_STREAM, BINARY = "application/json", "text/event-stream", "application/octet-stream"


def wished_form(wish: str) -> recording.Form:
    """Return how much the client wishes to have recorded. Raises ApiError: it is none of the forms."""
    if wish not in FORMS:
        raise ApiError(f"{HEADER} must be full or redacted", code="invalid_value", param=HEADER)
    return FORMS[wish]


class Note(NamedTuple):
    """A message, and when it passed."""

    time_ns: int
    kind: recording.Kind
    content: bytes | str
    media_type: str


class ClientEdge:
    """One client's messages, both ways."""

    def __init__(
        self, wish: recording.Form = recording.FORM_UNSPECIFIED, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.wish = wish
        self._now_ns = now_ns
        self._is_recorded: bool | None = None  # None: nobody has said so yet
        self._notes: deque[Note] = deque()
        self._byte_count = 0
        self._told: deque[str] = deque()
        self._is_told = asyncio.Event()

    @property
    def is_recorded(self) -> bool:
        """Whether the conversation wants to know what passes here."""
        return self._is_recorded is True

    def open(self, opened: wire.Opened) -> None:
        """The conversation says whether it is recorded."""
        self._is_recorded = opened.recording != recording.FORM_UNSPECIFIED
        if not self._is_recorded:
            self._notes.clear()

    def received(self, content: bytes | str) -> None:
        """Note a message that the client sent."""
        self._note(recording.KIND_REQUEST, content, JSON if isinstance(content, str) else BINARY)

    def received_json(self, body: bytes) -> None:
        """Note a request's body."""
        self._note(recording.KIND_REQUEST, body, JSON)

    def sent(self, content: bytes, media_type: str = JSON) -> None:
        """Note what the client was sent."""
        self._note(recording.KIND_REPLY, content, media_type)

    def told(self, response_id: str) -> None:
        """The client has been sent the last event of an answer."""
        if self.is_recorded:
            self._told.append(response_id)
            self._is_told.set()

    async def next_parcel(self) -> wire.ConverseRequest:
        """Wait for an answer's end, and return what passed until then."""
        while not self._told:
            self._is_told.clear()
            await self._is_told.wait()
        return self.parcel(self._told.popleft())

    def parcel(self, response_id: str = "") -> wire.ConverseRequest:
        """Return what passed since the last parcel."""
        records = [
            recording.Record(
                time_ns=note.time_ns,
                edge=recording.EDGE_CLIENT,
                kind=note.kind,
                type=note.media_type,
                content=note.content.encode() if isinstance(note.content, str) else note.content,
            )
            for note in self._notes
        ]
        self._notes.clear()
        self._byte_count = 0
        parcel = wire.ClientRecords(records=records, sent_ns=self._now_ns(), response_id=response_id)
        return wire.ConverseRequest(client_records=parcel)

    def _note(self, kind: recording.Kind, content: bytes | str, media_type: str) -> None:
        if self._is_recorded is False:
            return
        self._notes.append(Note(self._now_ns(), kind, content, media_type))
        self._byte_count += NOTE_BYTES + len(content)
        while self._byte_count > MAX_BYTES:
            self._byte_count -= NOTE_BYTES + len(self._notes.popleft().content)
            DROPPED.inc()
