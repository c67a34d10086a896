"""What the orchestrator counts, under the stage names that metrics, spans and the latency budget share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram
from vita_runtime import tracing
from vita_runtime.metrics import LATENCY_S

STAGE = Histogram(
    "vita_stage_seconds",
    "llm_first_text, speech_decoder_first_codes and first_sound from the end of the query; else a stage's own work.",
    ["stage"],
    buckets=LATENCY_S,
)
STOPPING = Histogram("vita_stop_seconds", "An interruption to the end of its answer's work.", buckets=LATENCY_S)
RESPONSES = Counter("vita_responses_total", "Answers, by how they ended.", ["outcome"])
HOLDS = Counter("vita_holds_total", "Voices over an answer, by what became of them.", ["outcome"])
WAITS = Histogram(
    "vita_unfinished_wait_seconds",
    "Silence given to unfinished sentences beyond a finished one's: the user resumed, or the turn ended.",
    ["outcome"],
    buckets=LATENCY_S,
)
FAILURES = Counter("vita_failures_total", "Failures told to clients.", ["reason"])
SESSIONS = Gauge("vita_sessions", "Conversations open now.")
CUT_TURNS = Counter("vita_context_cut_turns_total", "Turns that no longer fitted a context.")


@contextlib.contextmanager
def stage(name: str, traceparent: str = "") -> Iterator[None]:
    """Do the block as a stage: a span of the turn's trace, and its time in the histogram if it succeeds."""
    started_s = time.perf_counter()
    with tracing.span(name, traceparent=traceparent):
        yield
    STAGE.labels(name).observe(time.perf_counter() - started_s)
