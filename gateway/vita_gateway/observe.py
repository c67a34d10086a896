"""What is counted and logged of every request: never a word, a key or a header's value."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers
from vita_runtime import tracing
from vita_runtime.metrics import LATENCY_S

logger = logging.getLogger(__name__)

# What a client may name its own request; anything else could forge a log line.
SHAPE_OF_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

REQUESTS = Counter("vita_gateway_requests", "HTTP requests by route and status.", ["route", "status"])
REQUEST_SECONDS = Histogram("vita_gateway_request_seconds", "Length of HTTP requests.", ["route"], buckets=LATENCY_S)
SESSIONS = Gauge("vita_gateway_realtime_sessions", "Realtime sessions that are open.")
CLOSES = Counter("vita_gateway_realtime_closes", "Realtime sessions that ended, by close code.", ["code"])
ERRORS = Counter("vita_gateway_errors", "Errors told to clients, by code.", ["api", "code"])
FIRST_AUDIO_SECONDS = Histogram(
    "vita_gateway_first_audio_seconds", "Response begun to its first sound sent.", ["api"], buckets=LATENCY_S
)
RESPONSES = Counter("vita_gateway_responses", "Responses by API and how they ended.", ["api", "status"])
RESUMPTIONS = Counter("vita_gateway_resumptions", "Conversations that were lost, by what became of them.", ["outcome"])


@dataclass(slots=True)
class Passage:
    """One request on its way through: its names, and when it began."""

    request_id: str
    client_request_id: str
    traceparent: str
    started_s: float = field(default_factory=time.monotonic)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the gRPC metadata that carries the request's names on."""
        named = (("x-request-id", self.request_id),)
        traceparent = tracing.current_traceparent() or self.traceparent
        return (*named, (tracing.HEADER, traceparent)) if traceparent else named

    @property
    def age_ms(self) -> int:
        """Time since the request began, in ms."""
        return round((time.monotonic() - self.started_s) * 1000)


def passage(headers: Headers) -> Passage:
    """Name a request; a client's own name for it is kept beside ours if it is harmless."""
    client_id = headers.get("x-client-request-id", "")
    traceparent = headers.get(tracing.HEADER, "")
    return Passage(
        request_id=f"req_{uuid.uuid4().hex}",
        client_request_id=client_id if SHAPE_OF_ID.fullmatch(client_id) else "",
        traceparent=traceparent if tracing.TRACEPARENT.fullmatch(traceparent) else _new_traceparent(),
    )


def log_request(route: str, method: str, status: int, request: Passage) -> None:
    """Write the access log's line and count the request."""
    REQUESTS.labels(route, str(status)).inc()
    REQUEST_SECONDS.labels(route).observe(request.age_ms / 1000)
    level = logging.DEBUG if route in ("/healthz", "/readyz", "/metrics") else logging.INFO
    fields = {"route": route, "method": method, "status": status, "duration_ms": request.age_ms}
    if request.client_request_id:
        fields["client_request_id"] = request.client_request_id
    logger.log(level, "request", extra={**fields, "request_id": request.request_id})


def _new_traceparent() -> str:
    """Begin a trace for a client that brought none, so that all stages of its turns can be found together."""
    return f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
