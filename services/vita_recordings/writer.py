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
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from prometheus_client import Counter
from vita.recording.v1.recording_pb2 import (
    EDGE_CLIENT,
    EDGE_COMPONENT,
    FORM_REDACTED,
    KIND_OPENED,
    KIND_REPLY,
    Manifest,
    Record,
)
from vita.recording.v1.snapshot_pb2 import Snapshot

from vita_recordings.bundle import BadRecording, Bundle, pack, write
from vita_recordings.recorder import Finished, Note
from vita_recordings.redaction import redacted
from vita_recordings.schema import parse

logger = logging.getLogger(__name__)

RECORDINGS = Counter("vita_recordings_total", "Recordings of turns, by what became of them.", ["outcome"])
QUEUE_BOUND = 4  # a disk that is slower than the turns loses recordings, not memory
BREATH_RECORDS = 48  # messages between two breaths: 0.1 ms
BREATH_S = 0.0002
CLOSE_S = 5.0  # longest wait for the disk when the process ends


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
            path = store(finished, self._origin, self._folder)
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


def store(finished: Finished, origin: Origin, folder: Path) -> Path:
    """Write a recording and return where it is. Raises as `pack` does.

    Stored as it is: packing saves a quarter, since most of it is pictures, sound and embeddings, and would take ten
    times as long as all the rest of recording.
    """
    if finished.form == FORM_REDACTED:
        return write(redacted(bundle_of(finished, origin)), folder, compression=zipfile.ZIP_STORED)
    snapshot = finished.reel.snapshot()
    return pack(_manifest(finished, snapshot, origin), snapshot, _breathing(_records(finished)), folder)


def bundle_of(finished: Finished, origin: Origin) -> Bundle:
    """Put a recording together in memory."""
    snapshot, records = finished.reel.snapshot(), list[Record]()
    for record, content in _breathing(_records(finished)):
        record.content = content
        records.append(record)
    return Bundle(_manifest(finished, snapshot, origin), snapshot, tuple(records))


def _manifest(finished: Finished, snapshot: Snapshot, origin: Origin) -> Manifest:
    pinned = {pin.component: pin.variant for pin in snapshot.session.variants}
    return Manifest(
        form=finished.form,
        session_id=finished.session_id,
        tenant_id=finished.tenant_id,
        turns=finished.turns,
        started_unix_ms=finished.reel.started_unix_ms,
        software=origin.software,
        settings=dict(origin.settings or {}),
        variants=_versions(finished.notes) | pinned,
        gateway_clock_ns=_gateway_clock_ns(finished),
    )


def _records(finished: Finished) -> Iterator[tuple[Record, bytes]]:
    """Yield the records by time, with their contents apart: what is large is copied only where it is written."""
    calls: dict[int, int] = {0: 0}  # the session's number → the recording's
    ours = ((note.time_ns, note) for note in finished.notes)
    # Stable: what was noted first comes first.
    for time_ns, one in sorted([*ours, *_client_records(finished)], key=itemgetter(0)):
        record = _ours(one, calls.setdefault(one.call, len(calls))) if isinstance(one, Note) else _clients(one)
        record.time_ns = time_ns - finished.reel.started_ns
        record.byte_count = len(one.content)
        yield record, one.content


def _breathing(records: Iterable[tuple[Record, bytes]]) -> Iterator[tuple[Record, bytes]]:
    for index, record in enumerate(records):
        if index % BREATH_RECORDS == 0:
            time.sleep(BREATH_S)  # the event loop's thread takes the interpreter meanwhile
        yield record


def _ours(note: Note, call: int) -> Record:
    is_opening = note.edge == EDGE_COMPONENT and note.kind == KIND_OPENED
    return Record(
        edge=note.edge,
        kind=note.kind,
        component=note.component,
        address=note.name if is_opening else "",
        call=call,
        type=note.type,
        name="" if is_opening else note.name,
    )


def _clients(record: Record) -> Record:
    return Record(edge=EDGE_CLIENT, kind=record.kind, type=record.type)


def _client_records(finished: Finished) -> Iterator[tuple[int, Record]]:
    """The client's edge by the orchestrator's clock. Before the start lies another turn, or a session's opening."""
    for received_ns, part in finished.client:
        for record in part.records:
            time_ns = record.time_ns - part.sent_ns + received_ns
            if time_ns >= finished.reel.started_ns or finished.reel.is_first:
                yield time_ns, record


def _gateway_clock_ns(finished: Finished) -> int:
    """The least difference is the one that waited least on the way."""
    return max((part.sent_ns - received_ns for received_ns, part in finished.client), default=0)


def _versions(notes: Iterable[Note]) -> dict[str, str]:
    """The version of each component that answered, as it says itself."""
    last = {note.component: note for note in notes if note.edge == EDGE_COMPONENT and note.kind == KIND_REPLY}
    replies = {component: parse(note.type, note.content) for component, note in last.items()}
    return {component: cast("Any", reply).model_version for component, reply in replies.items() if reply is not None}
