"""Traces: a traceparent comes in, spans are made under it when recorded, and a traceparent goes out either way."""

from __future__ import annotations

import contextvars
import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from vita_runtime import tracing
from vita_runtime.otlp import Processed

pytestmark = pytest.mark.unit

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
INCOMING = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.record(Processed("test", SimpleSpanProcessor(exporter)))
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
    assert turn.resource.attributes["service.name"] == "test"
    times = [turn.start_time, llm.start_time, llm.end_time, turn.end_time]
    assert times == sorted(time_ns or 0 for time_ns in times)


def test_after_a_block_its_parent_is_current_again(spans: InMemorySpanExporter) -> None:
    with tracing.span("turn"):
        before = tracing.current_traceparent()
        with tracing.span("llm"):
            assert tracing.current_traceparent() != before
        assert tracing.current_traceparent() == before
    assert tracing.current_traceparent() == ""
    contexts = [span.get_span_context() for span in spans.get_finished_spans()]
    assert [f"{context.trace_id:032x}" for context in contexts if context] == [before[3:35]] * 2


def test_a_trace_that_its_caller_does_not_record_is_not_recorded_here(spans: InMemorySpanExporter) -> None:
    unrecorded = INCOMING[:-2] + "00"
    with tracing.span("turn", traceparent=unrecorded):
        assert tracing.current_traceparent() == unrecorded
    assert not spans.get_finished_spans()


def test_a_block_that_fails_says_with_what(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), tracing.span("turn"):
        raise ValueError("no")
    (turn,) = spans.get_finished_spans()
    assert turn.attributes == {"error.type": "ValueError"}
    assert turn.status.status_code is StatusCode.ERROR


def test_a_block_that_is_left_in_another_task_is_recorded_all_the_same(spans: InMemorySpanExporter) -> None:
    def halves() -> Iterator[None]:
        with tracing.span("turn"):
            yield

    block = halves()
    contextvars.copy_context().run(next, block)
    with tracing.span("other"):
        before = tracing.current_traceparent()
        assert next(block, "over") == "over"
        assert tracing.current_traceparent() == before
    assert [span.name for span in spans.get_finished_spans()] == ["turn", "other"]


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


def test_a_full_disk_loses_spans_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    file = tracing.JsonLines("llm", Path("/dev/full"))
    tracing.record(file)
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                with tracing.span("turn"):
                    pass
    finally:
        tracing.stop_recording()
    (warning,) = caplog.records
    assert vars(warning)["reason"] == os.strerror(errno.ENOSPC)
