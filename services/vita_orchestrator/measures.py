"""What the orchestrator counts, under the stage names that metrics, spans and the latency budget share."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram
from vita_runtime.metrics import LATENCY_S

STAGE = Histogram(
    "vita_stage_seconds", "End of the query to a stage's first output; endpointing: the silence waited for.",
    ["stage"], buckets=LATENCY_S,
)  # fmt: skip
STOPPING = Histogram("vita_stop_seconds", "An interruption to the end of its answer's work.", buckets=LATENCY_S)
RESPONSES = Counter("vita_responses_total", "Answers, by how they ended.", ["outcome"])
HOLDS = Counter("vita_holds_total", "Voices over an answer, by what became of them.", ["outcome"])
FAILURES = Counter("vita_failures_total", "Failures told to clients.", ["reason"])
SESSIONS = Gauge("vita_sessions", "Conversations open now.")
CUT_TURNS = Counter("vita_context_cut_turns_total", "Turns that no longer fitted a context.")
