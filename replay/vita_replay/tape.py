"""The tape of a replay: chance and the clock say again what they said, and everything that passes is noted anew.

Values are given back by name in order. Where the replay asks more often than the recording did, chance and the clock
are asked in earnest, and that is remembered: from there on the replay may differ for no stage's fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from vita.conversation.v1.conversation_service_pb2 import ClientRecords
from vita.recording.v1.recording_pb2 import (
    EDGE_CONVERSATION,
    EDGE_INSIDE,
    FORM_UNSPECIFIED,
    KIND_OBSERVED,
    KIND_OPENED,
    KIND_REQUEST,
    Edge,
    Kind,
    Record,
)
from vita_recordings.bundle import Bundle
from vita_recordings.recorder import BuildSnapshot
from vita_recordings.tape import Content, T

ARRIVAL_S = 5.0  # of what was sent on loopback, to an orchestrator that may be busy
TEXT, JSON = "text/plain", "application/json"


@dataclass(frozen=True, slots=True)
class _Note:
    time_s: float
    edge: Edge
    kind: Kind
    content: Content
    component: str
    call: int
    name: str


class ReplayTape:
    """See vita_recordings.recorder.SessionTape."""

    form = FORM_UNSPECIFIED  # a replay asks no client for records

    def __init__(self, recorded: Sequence[Record], now: Callable[[], float]) -> None:
        self._now = now
        self._started_s = now()
        self._notes: list[_Note] = []
        self._is_over = False
        self._call_count = self._request_count = 0
        self._arrived = asyncio.Event()
        self._observed: dict[str, deque[str]] = {}
        self.fresh: list[str] = []  # names of values that the recording had no more of
        for record in recorded:
            if record.kind == KIND_OBSERVED:
                self._observed.setdefault(record.name, deque()).append(record.content.decode())

    def start(self) -> None:
        """What passes from now on belongs to the replay; times count from here."""
        self._started_s = self._now()
        self._notes.clear()

    async def heard(self, request_count: int) -> None:
        """Wait until so many of the client's requests have arrived, but not for ever."""
        try:
            async with asyncio.timeout(ARRIVAL_S):
                while self._request_count < request_count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return  # the comparison will say which did not

    def end(self) -> None:
        """The recording ended here: what passes from now on was not recorded either."""
        self._is_over = True

    def note(
        self, edge: Edge, kind: Kind, content: Content = None, *, component: str = "", call: int = 0, name: str = ""
    ) -> None:
        """See Tape."""
        if edge == EDGE_CONVERSATION and kind == KIND_REQUEST:
            self._request_count += 1
            self._arrived.set()
        if not self._is_over:
            self._notes.append(_Note(self._now() - self._started_s, edge, kind, content, component, call, name))

    def new_call(self) -> int:
        """See Tape."""
        self._call_count += 1
        return self._call_count

    def observe(self, name: str, value: T) -> T:
        """See Tape."""
        waiting = self._observed.get(name)
        if waiting:
            recorded = waiting.popleft()
            value = type(value)(recorded)
        elif not self._is_over:
            self.fresh.append(name)
        self.note(EDGE_INSIDE, KIND_OBSERVED, str(value), name=name)
        return value

    def begin(self, snapshot: BuildSnapshot) -> None:
        """See SessionTape: a replay begins when its client does, and only once."""

    def take_client_records(self, records: ClientRecords) -> None:
        """See SessionTape: there is no gateway."""

    def close(self) -> None:
        """See SessionTape."""

    def records(self) -> tuple[Record, ...]:
        """Return what was noted."""
        return tuple(_record(note) for note in self._notes)


def replayed(bundle: Bundle, tape: ReplayTape, software: str = "vita replay") -> Bundle:
    """Return a replay as a recording of its own."""
    manifest = type(bundle.manifest)()
    manifest.CopyFrom(bundle.manifest)
    manifest.software = software
    return Bundle(manifest, bundle.snapshot, tape.records())


def _record(note: _Note) -> Record:
    record = Record(
        time_ns=round(note.time_s * 1e9),
        edge=note.edge,
        kind=note.kind,
        component=note.component,
        call=note.call,
        name=note.name,
    )
    match note.content:
        case None:
            pass
        case Message() as message:
            record.type, record.content = message.DESCRIPTOR.full_name, message.SerializeToString()
        case str() as text:
            record.type, record.content = TEXT, text.encode()
        case bytes() as raw:
            record.type, record.content = JSON, raw
    record.byte_count = len(record.content)
    if record.kind == KIND_OPENED:
        record.address, record.name = note.name, ""
    return record
