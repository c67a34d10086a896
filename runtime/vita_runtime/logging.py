"""Logs as JSON lines on stderr: a constant message, and facts as fields.

    logger.info("turn ended", extra={"reason": "barge_in", "spoken_ms": 840})

A user's words and media never enter a log: fields with names that would hold them are written as their length, and long
strings are cut. `bind` adds fields, such as the session's id, to every line logged from the current task.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

from vita_runtime import tracing

LONGEST_VALUE = 500  # characters; identifiers and error messages fit, documents do not
# What a person said, wrote or showed; a field of this name is logged as its length only.
PRIVATE_FIELDS = frozenset({"text", "transcript", "words", "prompt", "content", "audio", "image", "picture", "clause"})

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_bound: ContextVar[Mapping[str, object]] = ContextVar("vita_log_fields", default=MappingProxyType({}))


def configure(service: str, level: str = "INFO") -> None:
    """Send all logs of this process to stderr as JSON lines; call once, from `main`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


@contextlib.contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Add fields to every line logged inside the block, in this task and the tasks it starts."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonFormatter(logging.Formatter):
    """One log record as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_VALUE],
        }
        extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        line.update({name: _loggable(name, value) for name, value in {**_bound.get(), **extra}.items()})
        traceparent = tracing.current_traceparent()
        if traceparent:
            line["trace_id"] = traceparent.split("-")[1]
        if record.exc_info and record.exc_info[0]:
            line["error_type"] = record.exc_info[0].__name__
            line["stack"] = _stack(record)
        return json.dumps(line, ensure_ascii=False, default=str)


def _loggable(name: str, value: object) -> object:
    """Return `value` as it may be logged."""
    if name in PRIVATE_FIELDS and isinstance(value, str | bytes | list | tuple | dict):
        return f"<{len(value)} long, not logged>"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return value[:LONGEST_VALUE]
    return value


def _stack(record: logging.LogRecord) -> str:
    """Return the places an exception went through; messages of exceptions may quote input, so only ours are kept."""
    assert record.exc_info  # checked by the caller
    error = record.exc_info[1]
    assert error
    frames = "".join(traceback.format_tb(error.__traceback__))[-4000:]
    is_ours = type(error).__module__.startswith("vita")
    return f"{frames}{type(error).__name__}: {str(error)[:LONGEST_VALUE] if is_ours else ''}"
