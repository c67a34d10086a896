"""Finished spans handed to OpenTelemetry, which batches them and sends them to a collector."""

from __future__ import annotations

import importlib

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from vita_runtime.tracing import SAMPLED, Exporter, Finished

_SCOPE = InstrumentationScope("vita")


def exporter(service: str) -> Exporter:
    """Return what sends spans as OTEL_EXPORTER_OTLP_ENDPOINT and its like say. Raises ImportError: not installed."""
    module = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    return Processed(service, BatchSpanProcessor(module.OTLPSpanExporter()))


class Processed:
    """Gives spans to a processor of OpenTelemetry's."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        self._resource = Resource.create({"service.name": service})
        self._processor = processor

    def export(self, finished: Finished) -> None:
        """See vita_runtime.tracing.Exporter."""
        is_error = "error.type" in finished.attributes
        self._processor.on_end(
            ReadableSpan(
                finished.name,
                _context(finished.trace_id, finished.span_id, is_remote=False),
                parent=_context(finished.trace_id, finished.parent_id) if finished.parent_id else None,
                resource=self._resource,
                attributes=finished.attributes,
                status=Status(StatusCode.ERROR if is_error else StatusCode.UNSET),
                start_time=finished.start_ns,
                end_time=finished.end_ns,
                instrumentation_scope=_SCOPE,
            )
        )

    def close(self) -> None:
        """Send what waits."""
        self._processor.shutdown()


def _context(trace_id: str, span_id: str, *, is_remote: bool = True) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=TraceFlags(SAMPLED))
