"""The one thread that talks with Triton about a streaming model: answers, FINAL flags, clients that have gone, metrics.

A request must get its FINAL flag on every path, or its client waits for ever and the process never ends. Nothing is
locked across a call to Triton, since each is a call to another process. Asking whether a client has gone is such a
call, too: watched requests are swept at most 20 times a second. A FINAL flag sent at the moment `execute` returns can
leave the request unreleased in Triton 2.51, so it goes no sooner than 50 ms after that.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vita_runtime.triton_request import Foreign, Request, Value, triton

logger = logging.getLogger(__name__)

EARLIEST_FINAL_S = 0.05  # after `execute` has returned
SWEEP_S = 0.05  # between two looks for clients that have gone
METRICS_S = 1.0
MAX_OUTBOX = 8192  # answers not yet given to Triton; an engine that is that far ahead waits
MAX_OPS = 16  # label values of a metric: a model knows fewer, clients might send any
FIRST_OUTPUT_BUCKETS_S = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]


class Statistics(Protocol):
    """What an engine counts."""

    @property
    def steps(self) -> int: ...
    @property
    def step_seconds(self) -> float: ...
    @property
    def items(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def sessions(self) -> int: ...


class Responder(Protocol):
    """Makes Triton's responses for one model."""

    name: str

    def response(self, values: Mapping[str, Value]) -> Foreign: ...
    def error(self, message: str) -> Foreign: ...


@dataclass(eq=False)
class Call:
    """A request of a streaming model; answered from any thread, until `finish` or `fail`."""

    request: Request
    sender: Foreign
    courier: Courier
    received_s: float
    taken_s: float | None = None  # when `execute` was done with it
    on_gone: Callable[[], None] | None = None  # called if the client goes away before the end
    is_answered: bool = False
    is_over: bool = False
    values_to_echo: dict[str, Value] = field(default_factory=dict[str, Value])

    def reply(self, **values: Value) -> None:
        """Send an answer."""
        self.courier.put(self, {**self.values_to_echo, **values})

    def finish(self, **values: Value) -> None:
        """Send a last answer, if any, and end."""
        self.courier.put(self, {**self.values_to_echo, **values} if values else None, is_last=True)

    def fail(self, message: str) -> None:
        """End with an error; the message starts with an ErrorReason."""
        self.courier.put(self, message, is_last=True)

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have `on_gone` called within 100 ms after the client has gone; it must not block.

        Should the engine refuse it, because its queue is full, it is called again at each sweep until it is accepted.
        """
        self.on_gone = on_gone
        self.courier.watch(self)


@dataclass(slots=True)
class _Parcel:
    call: Call
    content: Mapping[str, Value] | str | None  # outputs, an error message, or nothing
    is_last: bool


class Courier:
    """The only thread that talks with Triton."""

    def __init__(self, model: Responder, statistics: Statistics) -> None:
        self._model = model
        self._statistics = statistics
        self._outbox: queue.Queue[_Parcel] = queue.Queue(MAX_OUTBOX)
        self._watched: dict[Call, None] = {}
        self._releases: list[Callable[[], None]] = []  # of clients that have gone; not accepted yet
        self._finals: list[tuple[float, int, Call]] = []  # FINAL flags that are due later
        self._order = itertools.count()
        self._metrics = _Metrics(model)
        self._sweep_s = self._report_s = 0.0
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._final_flag: int = triton().TRITONSERVER_RESPONSE_COMPLETE_FINAL

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread once everything is sent."""
        self._is_stopping = True
        self._thread.join(1.0)

    def put(self, call: Call, content: Mapping[str, Value] | str | None, *, is_last: bool = False) -> None:
        """Have something sent, after what was put before."""
        self._outbox.put(_Parcel(call, content, is_last))

    def watch(self, call: Call) -> None:
        """Look after this call's client from now on."""
        self._watched[call] = None
        self._outbox.put(_Parcel(call, None, is_last=False))  # wakes the thread, that may be sleeping for longer

    def _run(self) -> None:
        while not (self._is_stopping and self._outbox.empty() and not self._finals):
            try:
                self._round()
            except Exception:
                logger.exception("courier failed")

    def _round(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._deliver(self._outbox.get(timeout=self._pause_s()))
        now = time.monotonic()
        while self._finals and self._finals[0][0] <= now:
            heapq.heappop(self._finals)[2].sender.send(flags=self._final_flag)
        if now - self._sweep_s >= SWEEP_S:
            self._sweep_s = now
            self._sweep()
        if now - self._report_s >= METRICS_S:
            self._report_s = now
            self._metrics.report(self._statistics)

    def _pause_s(self) -> float:
        """How long nothing but an answer can need this thread."""
        soonest = SWEEP_S if self._watched or self._releases or self._is_stopping else METRICS_S
        if self._finals:
            soonest = min(soonest, self._finals[0][0] - time.monotonic())
        return max(soonest, 0.0005)

    def _deliver(self, parcel: _Parcel) -> None:
        call = parcel.call
        if call.is_over:
            return
        if not call.is_answered and parcel.content is not None:
            call.is_answered = True
            self._metrics.first_output(call.request.op, time.monotonic() - call.received_s)
        due = (call.taken_s or time.monotonic()) + EARLIEST_FINAL_S
        is_due = parcel.is_last and time.monotonic() >= due
        if parcel.is_last:
            self._watched.pop(call, None)
            call.is_over = True
        try:
            self._send(call, parcel.content, is_final=is_due)
        except Exception:  # an answer that Triton does not take must not cost the request its FINAL flag
            logger.exception("answer was lost", extra={"op": call.request.op})
            is_due = False
        if parcel.is_last and not is_due:
            heapq.heappush(self._finals, (due, next(self._order), call))

    def _send(self, call: Call, content: Mapping[str, Value] | str | None, *, is_final: bool) -> None:
        flags = self._final_flag if is_final else 0
        if content is not None:
            response = self._model.error(content) if isinstance(content, str) else self._model.response(content)
            call.sender.send(response, flags=flags)
        elif is_final:
            call.sender.send(flags=flags)

    def _sweep(self) -> None:
        for call in list(self._watched):
            if call.sender.is_cancelled():
                if call.on_gone is not None:
                    self._releases.append(call.on_gone)
                self._deliver(_Parcel(call, None, is_last=True))
        self._releases = [release for release in self._releases if not _is_accepted(release)]


def _is_accepted(release: Callable[[], None]) -> bool:
    """Have the engine release what a client held; False: it cannot take the task now."""
    try:
        release()
    except Exception as error:  # refusals have a reason, in the wire's words; all else is a defect, and stays one
        if getattr(error, "reason", ""):
            return False
        logger.exception("nothing was released for a client that has gone")
    return True


class _Metrics:
    """Our own counts on Triton's metrics port: Triton's do not see how long a stream takes."""

    def __init__(self, model: Responder) -> None:
        pb = triton()
        self._kinds = pb.MetricFamily
        self._families: list[Foreign] = []  # must outlive their metrics
        self._labels = {"component": model.name}
        self._items = self._one("vita_component_items_total", "Tokens, codes, tiles or embeddings out.", "COUNTER")
        self._steps = self._one("vita_component_steps_total", "Steps of the engine.", "COUNTER")
        self._seconds = self._one("vita_component_step_seconds_total", "Time spent in steps.", "COUNTER")
        self._sessions = self._one("vita_component_sessions", "Sessions, clauses or pictures held.", "GAUGE")
        self._batch = self._one("vita_component_batch_size", "Sequences in the last step.", "GAUGE")
        self._first = self._kinds(
            name="vita_component_first_output_seconds",
            description="From a request to its first answer.",
            kind=self._kinds.HISTOGRAM,
        )
        self._by_op: dict[str, Foreign] = {}
        self._reported = (0, 0, 0.0)

    def first_output(self, op: str, seconds: float) -> None:
        """Count a first answer."""
        op = op if op in self._by_op or len(self._by_op) < MAX_OPS else "other"
        if op not in self._by_op:
            labels = {**self._labels, "op": op or "infer"}
            self._by_op[op] = self._first.Metric(labels=labels, buckets=FIRST_OUTPUT_BUCKETS_S)
        self._by_op[op].observe(seconds)

    def report(self, statistics: Statistics) -> None:
        """Tell Triton what the engine has counted."""
        now = (statistics.items, statistics.steps, statistics.step_seconds)
        for metric, value, before in zip((self._items, self._steps, self._seconds), now, self._reported, strict=True):
            if value > before:
                metric.increment(value - before)
        self._reported = now
        self._sessions.set(statistics.sessions)
        self._batch.set(statistics.batch_size)

    def _one(self, name: str, description: str, kind: str) -> Foreign:
        family = self._kinds(name=name, description=description, kind=getattr(self._kinds, kind))
        self._families.append(family)
        return family.Metric(labels=self._labels)
