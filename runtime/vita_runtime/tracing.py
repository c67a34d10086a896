"""One trace a turn, from the client into Triton: W3C `traceparent` in, spans here, `traceparent` out.

Spans are recorded only when an exporter is configured; without one an incoming `traceparent` is still handed on, so
that a trace does not break at a process that does not record. `VITA_TRACE_FILE` names a file that gets one JSON line a
span; with the package opentelemetry-exporter-otlp-proto-http installed, OTEL_EXPORTER_OTLP_ENDPOINT works as documented
there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.util.types import AttributeValue

HEADER = "traceparent"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")  # W3C Trace Context, version 00

_state: dict[str, trace.Tracer] = {}  # "tracer" when spans are recorded
_providers: list[TracerProvider] = []


def configure(service: str, environ: Mapping[str, str]) -> None:
    """Start recording spans if the environment names an exporter; call once, from `main`."""
    if file := environ.get("VITA_TRACE_FILE"):
        record(service, SimpleSpanProcessor(JsonLinesExporter(Path(file))))
    elif environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") and importlib.util.find_spec("opentelemetry.exporter"):
        module = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        record(service, BatchSpanProcessor(module.OTLPSpanExporter()))


def record(service: str, processor: SpanProcessor) -> None:
    """Record spans of this process and hand them to `processor`."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(processor)
    _state["tracer"] = provider.get_tracer("vita")
    _providers.append(provider)


def stop_recording() -> None:
    """Go back to handing on only; what exporters hold is closed."""
    _state.clear()
    while _providers:
        _providers.pop().shutdown()


@contextlib.contextmanager
def span(name: str, *, traceparent: str = "", **attributes: AttributeValue) -> Iterator[trace.Span]:
    """Do the block as a span named `name`, under `traceparent` if given, else under the current span."""
    parent = _remote(traceparent)
    tracer = _state.get("tracer")
    if tracer is None:
        if parent is None:
            yield trace.get_current_span()
            return
        token = otel_context.attach(parent)
        try:
            yield trace.get_current_span()
        finally:
            otel_context.detach(token)
        return
    with tracer.start_as_current_span(name, context=parent, attributes=attributes, record_exception=False) as current:
        yield current


def current_traceparent() -> str:
    """Return the `traceparent` to send with a call made now, or ""."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return ""
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{int(current.trace_flags):02x}"


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """Return the gRPC metadata that carries the current trace on."""
    traceparent = current_traceparent()
    return ((HEADER, traceparent),) if traceparent else ()


def incoming_traceparent(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Return the `traceparent` of a call's metadata or headers, or ""."""
    for key, value in metadata or ():
        if key.lower() == HEADER:
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return ""


def _remote(traceparent: str) -> otel_context.Context | None:
    """Return a context whose current span is the caller's; None when the header is missing or malformed."""
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    trace_id, span_id, flags = (int(group, 16) for group in match.groups())
    caller = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return trace.set_span_in_context(NonRecordingSpan(caller)) if caller.is_valid else None


class JsonLinesExporter(SpanExporter):
    """Appends spans to a file, one JSON object a line; several processes may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None  # open from the first span on: opening takes longer than writing

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write finished spans, each with one write at the file's end: whole also when others write."""
        if self._file is None:
            self._file = self.path.open("ab", buffering=0)
        for finished in spans:
            self._file.write((json.dumps(_as_dict(finished), default=str) + "\n").encode())
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _as_dict(finished: ReadableSpan) -> dict[str, object]:
    context = finished.get_span_context()
    return {
        "service": finished.resource.attributes.get("service.name"),
        "name": finished.name,
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{finished.parent.span_id:016x}" if finished.parent else None,
        "start_ns": finished.start_time,
        "end_ns": finished.end_time,
        "attributes": dict(finished.attributes or {}),
    }
