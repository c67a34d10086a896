"""Traces: a traceparent comes in, spans are made under it when recorded, and a traceparent goes out either way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from vita_runtime import tracing

pytestmark = pytest.mark.unit

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
INCOMING = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.record("test", SimpleSpanProcessor(exporter))
    yield exporter
    tracing.stop_recording()


def test_without_recording_the_callers_trace_is_handed_on_unchanged() -> None:
    with tracing.span("turn", traceparent=INCOMING):
        assert tracing.current_traceparent() == INCOMING
        assert tracing.outgoing_metadata() == (("traceparent", INCOMING),)


def test_without_recording_and_without_a_caller_there_is_no_trace() -> None:
    with tracing.span("turn"):
        assert tracing.current_traceparent() == ""
        assert tracing.outgoing_metadata() == ()


def test_recorded_spans_are_children_of_the_callers(spans: InMemorySpanExporter) -> None:
    with tracing.span("turn", traceparent=INCOMING, turn_id="t"), tracing.span("llm"):
        outgoing = tracing.current_traceparent()
    llm, turn = spans.get_finished_spans()
    assert turn.parent is not None
    assert f"{turn.parent.span_id:016x}" == "b7ad6b7169203331"
    assert turn.attributes == {"turn_id": "t"}
    assert llm.parent is not None
    assert llm.parent.span_id == turn.context.span_id
    assert outgoing == f"00-{TRACE_ID}-{llm.context.span_id:016x}-01"


@pytest.mark.parametrize("header", ["", "garbage", "00-zz-b7-01", f"00-{'0' * 32}-{'0' * 16}-01", f"{INCOMING}-more"])
def test_a_malformed_traceparent_starts_a_trace_of_its_own(header: str, spans: InMemorySpanExporter) -> None:
    with tracing.span("turn", traceparent=header):
        pass
    assert spans.get_finished_spans()[0].parent is None


def test_the_header_is_found_in_metadata_whatever_its_case() -> None:
    assert tracing.incoming_traceparent([("x", "y"), ("Traceparent", INCOMING)]) == INCOMING
    assert tracing.incoming_traceparent(None) == ""


def test_a_trace_file_gets_a_line_a_span(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    tracing.configure("llm", {"VITA_TRACE_FILE": str(file)})
    try:
        with tracing.span("turn", traceparent=INCOMING):
            pass
    finally:
        tracing.stop_recording()
    (written,) = map(json.loads, file.read_text().splitlines())
    assert (written["service"], written["name"], written["trace_id"]) == ("llm", "turn", TRACE_ID)
