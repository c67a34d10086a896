"""Writes finished recordings, off the conversations' way: one thread a process, and a short queue before it.

A full queue, a full disk and a slow one lose recordings and never a turn; each loss is counted. The thread shares the
interpreter with the conversations, so it lets go of it after every few messages.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import Message
from prometheus_client import Counter
from vita.conversation.v1.conversation_service_pb2 import ConverseResponse, ResponseOutcome
from vita.recording.v1.recording_pb2 import (
    EDGE_CLIENT,
    EDGE_COMPONENT,
    EDGE_CONVERSATION,
    FORM_REDACTED,
    KIND_OPENED,
    KIND_REPLY,
    Manifest,
    Record,
    RecordedTurn,
)

from vita_recordings.bundle import BadRecording, Bundle, write
from vita_recordings.recorder import Content, Finished, Note
from vita_recordings.redaction import redacted

logger = logging.getLogger(__name__)

RECORDINGS = Counter("vita_recordings_total", "Recordings of turns, by what became of them.", ["outcome"])
QUEUE_BOUND = 4  # a disk that is slower than the turns loses recordings, not memory
BREATH_RECORDS = 16  # messages between two breaths: 0.1 ms
BREATH_S = 0.0002
CLOSE_S = 5.0  # longest wait for the disk when the process ends
OUTCOME = "RESPONSE_OUTCOME_"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where recordings come from; the same for all of a process."""

    software: str = ""
    settings: Mapping[str, str] | None = None


class Writer:
    """The writing thread."""

    def __init__(self, folder: Path, origin: Origin | None = None) -> None:
        self._folder = folder
        self._origin = origin or Origin()
        self._queue: queue.Queue[Finished | None] = queue.Queue(QUEUE_BOUND)
        self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
        self._thread.start()
        for outcome in ("written", "lost_full_queue", "lost_disk", "lost_too_large"):
            RECORDINGS.labels(outcome)

    def offer(self, finished: Finished) -> None:
        """Have a recording written, if there is room for it."""
        if finished.reel.is_too_large:
            RECORDINGS.labels("lost_too_large").inc()
            return
        try:
            self._queue.put_nowait(finished)
        except queue.Full:
            RECORDINGS.labels("lost_full_queue").inc()

    def close(self) -> None:
        """Write what waits, for as long as a process that ends may take."""
        try:
            self._queue.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (finished := self._queue.get()) is not None:
            self._write(finished)

    def _write(self, finished: Finished) -> None:
        try:
            # Stored as it is: packing saves a quarter, since most of it is pictures, sound and embeddings, and would
            # take ten times as long as all the rest of recording.
            path = write(bundle_of(finished, self._origin), self._folder, compression=zipfile.ZIP_STORED)
        except BadRecording as error:
            RECORDINGS.labels("lost_too_large").inc()
            logger.warning("recording not written", extra={"reason": error.message})
        except OSError as error:
            RECORDINGS.labels("lost_disk").inc()
            logger.warning("recording not written", extra={"reason": error.strerror or type(error).__name__})
        except Exception:
            # A defect here must not end the thread: later recordings would be lost without a word.
            RECORDINGS.labels("lost_disk").inc()
            logger.exception("recording not written, by a defect")
        else:
            RECORDINGS.labels("written").inc()
            logger.info("recording written", extra={"recording": path.name, "session_id": finished.session_id})


def bundle_of(finished: Finished, origin: Origin) -> Bundle:
    """Put a recording together."""
    started_ns = finished.reel.started_ns
    calls: dict[int, int] = {0: 0}  # the session's number → the recording's
    records = [
        _record(note, started_ns, calls.setdefault(note.call, len(calls))) for note in _breathing(finished.notes)
    ]
    records += _client_records(finished)
    records.sort(key=lambda record: record.time_ns)  # stable: what was noted first comes first
    manifest = Manifest(
        form=finished.form,
        session_id=finished.session_id,
        tenant_id=finished.tenant_id,
        turns=_turns(finished.notes, started_ns),
        started_unix_ms=finished.reel.started_unix_ms,
        software=origin.software,
        settings=dict(origin.settings or {}),
        variants=_versions(finished.notes),
        gateway_clock_ns=_gateway_clock_ns(finished),
    )
    snapshot = finished.reel.snapshot()
    manifest.variants.update({pinned.component: pinned.variant for pinned in snapshot.session.variants})
    bundle = Bundle(manifest, snapshot, tuple(records))
    return redacted(bundle) if finished.form == FORM_REDACTED else bundle


def _breathing(notes: Iterable[Note]) -> Iterator[Note]:
    for index, note in enumerate(notes):
        if index % BREATH_RECORDS == 0:
            time.sleep(BREATH_S)  # the event loop's thread takes the interpreter meanwhile
        yield note


def _record(note: Note, started_ns: int, call: int) -> Record:
    kind, content = _written(note.content)
    is_opening = note.edge == EDGE_COMPONENT and note.kind == KIND_OPENED
    return Record(
        time_ns=note.time_ns - started_ns,
        edge=note.edge,
        kind=note.kind,
        component=note.component,
        address=note.name if is_opening else "",
        call=call,
        type=kind,
        content=content,
        byte_count=len(content),
        name="" if is_opening else note.name,
    )


def _written(content: Content) -> tuple[str, bytes]:
    """Return how a content is written, and the content."""
    if content is None:
        return "", b""
    if isinstance(content, Message):
        return content.DESCRIPTOR.full_name, content.SerializeToString()
    return "text/plain", content.encode() if isinstance(content, str) else content


def _client_records(finished: Finished) -> Iterator[Record]:
    """The client's edge on the orchestrator's clock. Before the start lies another turn, or a session's opening."""
    started_ns = finished.reel.started_ns
    for received_ns, part in finished.client:
        for record in part.records:
            time_ns = record.time_ns - part.sent_ns + received_ns - started_ns
            if time_ns >= 0 or finished.reel.is_first:
                copy = Record()
                copy.CopyFrom(record)
                copy.time_ns, copy.edge, copy.byte_count = time_ns, EDGE_CLIENT, len(record.content)
                yield copy


def _gateway_clock_ns(finished: Finished) -> int:
    """The least difference is the one that waited least on the way."""
    return max((part.sent_ns - received_ns for received_ns, part in finished.client), default=0)


def _turns(notes: Iterable[Note], started_ns: int) -> list[RecordedTurn]:
    turns: dict[str, RecordedTurn] = {}
    for note in notes:
        event = note.content
        if note.edge != EDGE_CONVERSATION or note.kind != KIND_REPLY or not isinstance(event, ConverseResponse):
            continue
        if not event.turn_id:
            continue
        time_ns = note.time_ns - started_ns
        turn = turns.setdefault(event.turn_id, RecordedTurn(turn_id=event.turn_id, started_ns=time_ns))
        turn.ended_ns = time_ns
        if event.HasField("response_started"):
            turn.response_id = event.response_started.response_id
        elif event.HasField("response_done"):
            turn.outcome = ResponseOutcome.Name(event.response_done.outcome).removeprefix(OUTCOME).lower()
    return list(turns.values())


def _versions(notes: Iterable[Note]) -> dict[str, str]:
    """The version of each component that answered, as it says itself."""
    replies = (note for note in notes if note.edge == EDGE_COMPONENT and note.kind == KIND_REPLY)
    return {note.component: cast("Any", note.content).model_version for note in replies if note.content is not None}
