"""One trace a turn, from the client into Triton: W3C `traceparent` in, spans here, `traceparent` out.

Spans are recorded only when an exporter is configured; without one an incoming `traceparent` is still handed on, so
that a trace does not break at a process that does not record. `VITA_TRACE_FILE` names a file that gets one JSON line a
span; with the package opentelemetry-exporter-otlp-proto-http installed, OTEL_EXPORTER_OTLP_ENDPOINT works as documented
there. A turn has twenty spans and more, so that a span is no more here than what is exported of it: 9 µs with its
line, where one of OpenTelemetry's takes 47.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import random
import re
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol

logger = logging.getLogger(__name__)

HEADER = "traceparent"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")  # W3C Trace Context, version 00
TRACE_ID, SPAN_ID, FLAGS = slice(3, 35), slice(36, 52), slice(53, 55)  # where they stand in it
SAMPLED = 1  # the flag of a trace that its caller records
NO_TRACE, NO_SPAN = "0" * 32, "0" * 16  # ids that are none

Attribute = str | int | float | bool

_current: ContextVar[str] = ContextVar("traceparent", default="")


class Finished(NamedTuple):
    """A span that is over."""

    name: str
    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    parent_id: str | None
    start_ns: int  # since 1970
    end_ns: int  # likewise
    attributes: Mapping[str, Attribute]  # with `error.type` if the block raised


class Exporter(Protocol):
    """Where finished spans go. It must not block and must not fail."""

    def export(self, finished: Finished) -> None:
        """Take a span."""
        ...

    def close(self) -> None:
        """Send on what is held back."""
        ...


_exporters: list[Exporter] = []


def configure(service: str, environ: Mapping[str, str]) -> None:
    """Start recording spans if the environment names an exporter; call once, from `main`."""
    if file := environ.get("VITA_TRACE_FILE"):
        record(JsonLines(service, Path(file)))
    elif environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") and importlib.util.find_spec("opentelemetry.exporter"):
        from vita_runtime.otlp import exporter  # OpenTelemetry is loaded where it is used

        record(exporter(service))


def record(exporter: Exporter) -> None:
    """Record spans of this process and hand them to `exporter`."""
    _exporters.append(exporter)


def stop_recording() -> None:
    """Go back to handing on only; what exporters hold is closed."""
    while _exporters:
        _exporters.pop().close()


class Span:
    """A block of work within a trace, from `with` to its end; `span` makes it."""

    __slots__ = ("_attributes", "_name", "_parent", "_start_ns", "_token", "_traceparent")

    def __init__(self, name: str, traceparent: str, attributes: dict[str, Attribute]) -> None:
        self._name, self._attributes = name, attributes
        self._parent = traceparent
        self._start_ns = 0  # unless it is recorded

    def __enter__(self) -> None:
        self._parent = self._traceparent = _valid(self._parent) or _current.get()
        if _exporters and (not self._parent or int(self._parent[FLAGS], 16) & SAMPLED):
            trace_id = self._parent[TRACE_ID] or f"{random.getrandbits(128):032x}"
            self._traceparent = f"00-{trace_id}-{random.getrandbits(64):016x}-{SAMPLED:02x}"
            self._start_ns = time.time_ns()
        self._token = _current.set(self._traceparent)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        with contextlib.suppress(ValueError):  # a generator that another task ends: there another span is current
            _current.reset(self._token)
        if not self._start_ns:
            return
        if isinstance(error, Exception):  # to be cancelled is none
            self._attributes["error.type"] = type(error).__name__
        trace_id, span_id = self._traceparent[TRACE_ID], self._traceparent[SPAN_ID]
        parent_id = self._parent[SPAN_ID] or None
        finished = Finished(self._name, trace_id, span_id, parent_id, self._start_ns, time.time_ns(), self._attributes)
        for exporter in _exporters:
            exporter.export(finished)


def span(name: str, *, traceparent: str = "", **attributes: Attribute) -> Span:
    """Do the block as a span named `name`, under `traceparent` if given, else under the current span."""
    return Span(name, traceparent, attributes)


def current_traceparent() -> str:
    """Return the `traceparent` to send with a call made now, or ""."""
    return _current.get()


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """Return the gRPC metadata that carries the current trace on."""
    traceparent = _current.get()
    return ((HEADER, traceparent),) if traceparent else ()


def incoming_traceparent(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Return the `traceparent` of a call's metadata or headers, or ""."""
    for key, value in metadata or ():
        if key.lower() == HEADER:
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return ""


def _valid(traceparent: str) -> str:
    """Return the header, or "" if it is malformed."""
    match = TRACEPARENT.fullmatch(traceparent)
    return "" if match is None or match[1] == NO_TRACE or match[2] == NO_SPAN else traceparent


class JsonLines:
    """Appends spans to a file, one JSON object a line; several processes may share the file."""

    def __init__(self, service: str, path: Path) -> None:
        self._service, self._path = service, path
        self._file: BinaryIO | None = None  # open from the first span on: opening takes longer than writing
        self._is_failing = False

    def export(self, finished: Finished) -> None:
        """Write a span with one write at the file's end: whole also when others write. A full disk loses it."""
        line = json.dumps({"service": self._service, **finished._asdict()}) + "\n"
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(line.encode())
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                self._is_failing = True
                logger.warning("spans are lost", extra={"reason": error.strerror or type(error).__name__})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
