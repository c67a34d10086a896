"""The tape of a recorded session: notes what passes, and hands a turn over to be written once it is over.

A recording starts at the session's last quiet moment and ends with its turn. So the turn that interrupts another holds
both, for both start at the same moment; and what was played into silence before is forgotten at the next quiet moment.
Notes are messages as they are on the wire, bounded in number and in bytes: to know how long a message is, it has to be
written anyway. Nothing here waits, touches a disk or fails.
"""

from __future__ import annotations

import time
from asyncio import TimerHandle, get_running_loop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from google.protobuf.message import Message
from vita.conversation.v1.conversation_service_pb2 import ClientRecords, ConverseResponse, ResponseOutcome
from vita.recording.v1.recording_pb2 import (
    EDGE_CONVERSATION,
    EDGE_INSIDE,
    KIND_OBSERVED,
    KIND_REPLY,
    Edge,
    Form,
    Kind,
    RecordedTurn,
)
from vita.recording.v1.snapshot_pb2 import Snapshot

from vita_recordings.tape import Content, T, Tape

MAX_BYTES = 64 * 2**20  # of one recording's content: half an hour of a microphone, or 35 pictures' embeddings
MAX_NOTES = 200_000  # likewise; 1,000 messages a turn are usual
CLIENT_S = 2.0  # longest wait for what passed between the client and the gateway, once a turn is over
NOTE_BYTES = 300  # of a note itself
OUTCOME = "RESPONSE_OUTCOME_"

BuildSnapshot = Callable[[], Snapshot]  # called once, by the writer


class Note(NamedTuple):
    """One thing that happened."""

    time_ns: int  # monotonic
    edge: Edge
    kind: Kind
    type: str  # how `content` is written: see Record.type
    content: bytes
    component: str
    call: int
    name: str


class ClientPart(NamedTuple):
    """What the gateway sent of the client's edge at once."""

    received_ns: int
    records: ClientRecords


@dataclass(slots=True)
class Reel:
    """What was noted since a quiet moment."""

    started_ns: int
    started_unix_ms: int
    snapshot: BuildSnapshot
    is_first: bool = True  # of its session
    notes: list[Note] = field(default_factory=list[Note])
    client: list[ClientPart] = field(default_factory=list[ClientPart])
    turns: dict[str, RecordedTurn] = field(default_factory=dict[str, RecordedTurn])
    byte_count: int = 0
    is_too_large: bool = False

    def add(self, note: Note) -> None:
        """Add a note; beyond the bounds everything is forgotten."""
        if self.is_too_large:
            return
        self.byte_count += len(note.content) + NOTE_BYTES
        if self.byte_count > MAX_BYTES or len(self.notes) >= MAX_NOTES:
            self.is_too_large = True
            self.notes.clear()
            self.client.clear()
        else:
            self.notes.append(note)

    def add_client(self, part: ClientPart) -> None:
        """Add what passed at the client's edge, within the same bounds."""
        self.byte_count += part.records.ByteSize()
        if self.byte_count > MAX_BYTES:
            self.is_too_large = True
            self.notes.clear()
            self.client.clear()
        elif not self.is_too_large:
            self.client.append(part)

    def follow(self, event: ConverseResponse, time_ns: int) -> None:
        """Take from an event what became of its turn."""
        time_ns -= self.started_ns
        turn = self.turns.get(event.turn_id)
        if turn is None:
            turn = self.turns[event.turn_id] = RecordedTurn(turn_id=event.turn_id, started_ns=time_ns)
        turn.ended_ns = time_ns
        if event.HasField("response_started"):
            turn.response_id = event.response_started.response_id
        elif event.HasField("response_done"):
            turn.outcome = ResponseOutcome.Name(event.response_done.outcome).removeprefix(OUTCOME).lower()

    def turns_so_far(self) -> tuple[RecordedTurn, ...]:
        """Return the turns as they are now."""
        turns = tuple(RecordedTurn() for _ in self.turns)
        for copy, turn in zip(turns, self.turns.values(), strict=True):
            copy.CopyFrom(turn)
        return turns


@dataclass(frozen=True, slots=True)
class Finished:
    """A recording that is over and wants to be written."""

    form: Form
    session_id: str
    tenant_id: str
    reel: Reel
    notes: tuple[Note, ...]
    client: tuple[ClientPart, ...]
    turns: tuple[RecordedTurn, ...]


class Ending(NamedTuple):
    """Where a turn ended in its reel; it waits for what its client saw."""

    reel: Reel
    note_count: int
    turns: tuple[RecordedTurn, ...]
    timer: TimerHandle


class SessionTape(Tape, Protocol):
    """The tape of one session, as the conversation's edge drives it."""

    @property
    def form(self) -> Form:
        """How much of the session's turns is kept."""
        ...

    def begin(self, snapshot: BuildSnapshot) -> None:
        """Nothing is in flight: what comes from now on can be understood from this snapshot."""
        ...

    def take_client_records(self, records: ClientRecords) -> None:
        """Take what passed between the client and the gateway."""
        ...

    def close(self) -> None:
        """The stream is over."""
        ...


class Tapes(Protocol):
    """Where the servicer asks for a session's tape."""

    def tape_for(self, wish: Form, session_id: str, tenant_id: str) -> SessionTape | None:
        """Return the session's tape; None: it is not recorded."""
        ...


class TurnRecorder:
    """A SessionTape that hands its turns over to `finish`."""

    def __init__(
        self,
        form: Form,
        session_id: str,
        tenant_id: str,
        finish: Callable[[Finished], None],
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._form = form
        self._session_id, self._tenant_id = session_id, tenant_id
        self._finish = finish
        self._now_ns = now_ns
        self._is_first = True
        self._reel: Reel | None = None  # before the first quiet moment nothing can be understood
        self._calls = 0
        self._open_turn = ""  # of which no answer has ended
        self._pending: dict[str, Ending] = {}  # by response

    @property
    def form(self) -> Form:
        """See SessionTape."""
        return self._form

    def note(
        self, edge: Edge, kind: Kind, content: Content = None, *, component: str = "", call: int = 0, name: str = ""
    ) -> None:
        """See Tape."""
        reel = self._reel
        if reel is None:
            return
        note = Note(self._now_ns(), edge, kind, *written(content), component, call, name)
        reel.add(note)
        if edge == EDGE_CONVERSATION and kind == KIND_REPLY and isinstance(content, ConverseResponse):
            self._follow(reel, content, note.time_ns)

    def new_call(self) -> int:
        """See Tape."""
        self._calls += 1
        return self._calls

    def observe(self, name: str, value: T) -> T:
        """See Tape."""
        self.note(EDGE_INSIDE, KIND_OBSERVED, str(value), name=name)
        return value

    def begin(self, snapshot: BuildSnapshot) -> None:
        """See SessionTape. Turns that have ended and wait for their client's records keep what was noted for them."""
        self._reel = Reel(self._now_ns(), time.time_ns() // 1_000_000, snapshot, self._is_first)
        self._is_first = False
        self._open_turn = ""

    def take_client_records(self, records: ClientRecords) -> None:
        """See SessionTape."""
        pending = self._pending.get(records.response_id)
        part = ClientPart(self._now_ns(), records)
        for reel in {id(reel): reel for reel in (self._reel, pending.reel if pending else None) if reel}.values():
            reel.add_client(part)
        if pending is not None:
            self._end(records.response_id)

    def close(self) -> None:
        """See SessionTape. A turn that the stream's end cut off is recorded as far as it came."""
        for response_id in list(self._pending):
            self._end(response_id)
        if self._reel is not None and self._open_turn:
            self._hand_over(self._reel, len(self._reel.notes), self._reel.turns_so_far())
        self._reel = None

    def _follow(self, reel: Reel, event: ConverseResponse, time_ns: int) -> None:
        """See when a turn's answer is over."""
        if event.turn_id:
            self._open_turn = event.turn_id
            reel.follow(event, time_ns)
        if event.HasField("response_done"):
            self._open_turn = ""
            response_id = event.response_done.response_id
            timer = get_running_loop().call_later(CLIENT_S, self._end, response_id)
            self._pending[response_id] = Ending(reel, len(reel.notes), reel.turns_so_far(), timer)

    def _end(self, response_id: str) -> None:
        reel, note_count, turns, timer = self._pending.pop(response_id)
        timer.cancel()
        self._hand_over(reel, note_count, turns)

    def _hand_over(self, reel: Reel, end: int, turns: tuple[RecordedTurn, ...]) -> None:
        """Have the notes written: those of the conversation until the turn's end, of components until now."""
        later = (note for note in reel.notes[end:] if note.edge != EDGE_CONVERSATION)
        notes = (*reel.notes[:end], *later)
        self._finish(Finished(self._form, self._session_id, self._tenant_id, reel, notes, tuple(reel.client), turns))


def written(content: Content) -> tuple[str, bytes]:
    """Return how a content is written, and the content."""
    if content is None:
        return "", b""
    if isinstance(content, Message):
        return content.DESCRIPTOR.full_name, content.SerializeToString()
    return "text/plain", content.encode() if isinstance(content, str) else content
