"""Logs: one line of JSON a record, facts as fields, and nothing a user said."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from vita_runtime import tracing
from vita_runtime.errors import BadInput
from vita_runtime.logging import JsonFormatter, bind

pytestmark = pytest.mark.unit


def line(message: str = "turn ended", error: BaseException | None = None, **extra: object) -> dict[str, object]:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("vita.test", logging.INFO, __file__, 1, message, None, info)
    record.__dict__.update(extra)
    text = JsonFormatter("gateway").format(record)
    assert "\n" not in text
    return json.loads(text)


def test_facts_are_fields() -> None:
    written = line(reason="barge_in", spoken_ms=840)
    expected = {"service": "gateway", "level": "info", "message": "turn ended", "reason": "barge_in", "spoken_ms": 840}
    assert expected.items() <= written.items()


@pytest.mark.parametrize("field", ["text", "transcript", "prompt", "clause", "audio"])
def test_a_users_words_are_logged_as_their_length_only(field: str) -> None:
    assert line(**{field: "my secret"})[field] == "<9 long, not logged>"


def test_bytes_are_logged_as_their_length_only() -> None:
    assert line(chunk=b"12345")["chunk"] == "<5 bytes>"


def test_long_values_are_cut() -> None:
    assert len(str(line(detail="x" * 10_000)["detail"])) == 500


def test_a_strangers_exception_is_logged_without_its_message() -> None:
    said = "my" + " secret"
    try:
        int(said)
    except ValueError as error:
        written = line(error=error)
    assert written["error_type"] == "ValueError"
    assert "test_logging" in str(written["stack"])
    assert "my secret" not in json.dumps(written)


def test_our_own_exceptions_keep_their_message() -> None:
    assert "rate: too low" in str(line(error=BadInput("rate", "too low"))["stack"])


def test_bound_fields_are_on_every_line_of_the_block() -> None:
    with bind(session_id="s"), bind(turn_id="t"):
        assert {"session_id": "s", "turn_id": "t"}.items() <= line().items()
    assert "session_id" not in line()


def test_a_line_carries_the_trace_it_belongs_to() -> None:
    with tracing.span("turn", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"):
        assert line()["trace_id"] == "a" * 32


def test_importing_the_module_leaves_the_root_logger_alone() -> None:
    assert "vita_runtime.logging" in sys.modules
    assert not any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
