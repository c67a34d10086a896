"""A turn's waterfall: a bar for each call to a component, from the end of the question on.

A bar begins with the request and ends with the last reply; within it, the first reply is marked. A replay stands above
what it replays, on one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, KIND_REPLY, KIND_REQUEST
from vita_recordings.bundle import Bundle
from vita_runtime.errors import VitaError

from vita_replay.calls import Call, Passed, calls_of
from vita_replay.compare import COMPONENTS

CELLS = 72  # of a text's bar
MOST_ROWS = 6  # a component's calls beyond are drawn in one row
ROWS = ("speech", *COMPONENTS, "text", "sound")
COLOURS: dict[str, str] = dict(
    zip(ROWS, ("#888888", "#4c78a8", "#72b7b2", "#f58518", "#e45756", "#b279a2", "#999999", "#54a24b"), strict=True)
)


Axes = Any  # matplotlib comes with types that strictness does not take


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that took time, in ms from the end of the question."""

    row: str
    start_ms: float
    first_ms: float | None  # when something first came of it
    end_ms: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A turn's bars."""

    title: str
    bars: tuple[Bar, ...]


def waterfall(title: str, bundle: Bundle) -> Waterfall:
    """Return a recording's bars."""
    zero_ns = question_end_ns(bundle)
    bars = [bar for call in calls_of(bundle.records) for bar in _bars(call, zero_ns)]
    return Waterfall(title, tuple([*_spoken(bundle, zero_ns), *bars]))


def question_end_ns(bundle: Bundle) -> int:
    """Return when the last turn's question was over: its last word, or the request for an answer."""
    silence_ns = bundle.snapshot.session.configuration.turn_detection.silence_duration_ms * 1_000_000
    asked_ns = end_ns = 0
    for record in bundle.records:
        if record.edge != EDGE_CONVERSATION:
            continue
        if record.kind == KIND_REQUEST:
            request = wire.ConverseRequest.FromString(record.content)
            if request.WhichOneof("event") in ("create_response", "commit_audio"):
                asked_ns = record.time_ns
        elif record.kind == KIND_REPLY:
            event = wire.ConverseResponse.FromString(record.content)
            if event.HasField("speech_stopped"):
                asked_ns = record.time_ns - silence_ns
            elif event.HasField("response_started"):
                end_ns = asked_ns
    return end_ns


def first_sound_ms(bundle: Bundle) -> float | None:
    """Return how long the last turn's listener waited for sound."""
    zero_ns = question_end_ns(bundle)
    starts = [bar.start_ms for bar in _spoken(bundle, zero_ns) if bar.row == "sound" and bar.end_ms >= 0]
    return starts[-1] if starts else None


def _spoken(bundle: Bundle, zero_ns: int) -> list[Bar]:
    """What the client heard, a bar a response, and when it was heard to speak."""
    spans: dict[tuple[str, str], list[int]] = {}
    for record in bundle.records:
        if record.edge != EDGE_CONVERSATION or record.kind != KIND_REPLY:
            continue
        event = wire.ConverseResponse.FromString(record.content)
        match event.WhichOneof("event"):
            case "text_delta":
                key = ("text", event.text_delta.response_id)
            case "answer_audio":
                key = ("sound", event.answer_audio.response_id)
            case "speech_started":
                key = ("speech", event.speech_started.item_id)
            case "speech_stopped":
                key = ("speech", event.speech_stopped.item_id)
            case _:
                continue
        spans.setdefault(key, []).append(record.time_ns)
    return [
        Bar(row, (times[0] - zero_ns) / 1e6, (times[0] - zero_ns) / 1e6, (times[-1] - zero_ns) / 1e6)
        for (row, _), times in spans.items()
    ]


def _bars(call: Call, zero_ns: int) -> list[Bar]:
    """A bar a call; of the language model's long stream, one an operation."""

    def bar(asked: Passed, replies: Sequence[Passed]) -> Bar:
        times = [(reply.time_ns - zero_ns) / 1e6 for reply in replies]
        start_ms = (asked.time_ns - zero_ns) / 1e6
        return Bar(call.component, start_ms, times[0] if times else None, times[-1] if times else start_ms)

    if call.component != "llm":
        return [bar(call.requests[0], call.replies)] if call.requests else []
    bars: list[Bar] = []
    for asked in call.requests:
        sequence = int(asked.parameter("sequence") or 0)
        replies = [reply for reply in call.replies if _sequence(reply) == sequence]
        if replies and asked.parameter("op") != "open":
            bars.append(bar(asked, replies))
    return bars


def _sequence(reply: Passed) -> int:
    found = reply.outputs().get("SEQUENCE")
    return int.from_bytes(found.raw[:8], "little") if found is not None else -1


def as_text(waterfalls: Sequence[Waterfall]) -> str:
    """Draw with characters: · waiting for the first of it, █ from the first to the last."""
    if not any(one.bars for one in waterfalls):
        return "nothing passed\n"
    start_ms, end_ms = _span(waterfalls)
    scale = CELLS / max(1.0, end_ms - start_ms)
    lines: list[str] = []
    for one in waterfalls:
        lines.append(f"{one.title}: 0 = the question is over")
        for row, bars in _rows(one):
            cells = [" "] * (CELLS + 1)
            for bar in bars:
                _fill(cells, bar, start_ms, scale)
            zero = round(-start_ms * scale)
            if 0 <= zero <= CELLS and cells[zero] == " ":
                cells[zero] = "│"
            first_ms = bars[0].first_ms
            first = f"{first_ms:6.0f}" if first_ms is not None else "     –"
            lines.append(f"  {row:>14} {''.join(cells)} {first} … {max(bar.end_ms for bar in bars):.0f} ms")
    return "\n".join(lines) + "\n"


def draw(waterfalls: Sequence[Waterfall], out: Path) -> None:
    """Draw into an SVG or a PNG, as the file's name says.

    Raises:
        VitaError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VitaError("a picture needs matplotlib: pip install 'vita-serve[replay]'") from error
    rows = [list(_rows(one)) for one in waterfalls]
    height = 0.8 + sum(0.5 + 0.24 * len(one) for one in rows)
    figure: Axes = Figure(figsize=(11, height), layout="constrained")
    ratios = [1 + len(one) for one in rows]
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for panel, one, lines in zip(panels, waterfalls, rows, strict=True):
        _draw_panel(panel, one.title, lines)
    panels[-1].set_xlabel("ms since the question was over")
    try:
        figure.savefig(out)
    except (OSError, ValueError) as error:
        raise VitaError(f"{out} cannot be written: {error}") from error


def _draw_panel(panel: Axes, title: str, rows: list[tuple[str, list[Bar]]]) -> None:
    panel.set_title(title, loc="left", fontsize=9)
    for at, (row, bars) in enumerate(rows):
        for bar in bars:
            width = max(bar.end_ms - bar.start_ms, 1.0)
            panel.barh(at, width, left=bar.start_ms, height=0.55, color=COLOURS[row], alpha=0.35)
            if bar.first_ms is not None:
                panel.barh(at, max(bar.end_ms - bar.first_ms, 1.0), left=bar.first_ms, height=0.55, color=COLOURS[row])
                panel.plot([bar.first_ms, bar.end_ms], [at, at], "|", color="black", markersize=8, markeredgewidth=0.7)
    panel.set_yticks(range(len(rows)), [row for row, _ in rows], fontsize=8)
    panel.invert_yaxis()
    panel.axvline(0, color="black", linewidth=0.8)
    panel.grid(axis="x", linewidth=0.3)


def _rows(one: Waterfall) -> list[tuple[str, list[Bar]]]:
    """Return a row a call, or one for all of a component's where they are many; rows in the order of the stages."""
    rows: list[tuple[str, list[Bar]]] = []
    for name in ROWS:
        bars = sorted((bar for bar in one.bars if bar.row == name), key=lambda bar: bar.start_ms)
        rows += [(name, [bar]) for bar in bars] if len(bars) <= MOST_ROWS else [(name, bars)]
    return rows


def _span(waterfalls: Sequence[Waterfall]) -> tuple[float, float]:
    bars = [bar for one in waterfalls for bar in one.bars]
    return min(0.0, *(bar.start_ms for bar in bars)), max(1.0, *(bar.end_ms for bar in bars))


def _fill(cells: list[str], bar: Bar, start_ms: float, scale: float) -> None:
    first_ms = bar.end_ms if bar.first_ms is None else bar.first_ms
    for at in range(round((bar.start_ms - start_ms) * scale), round((bar.end_ms - start_ms) * scale) + 1):
        is_waiting = at < round((first_ms - start_ms) * scale)
        if 0 <= at < len(cells) and (not is_waiting or cells[at] == " "):
            cells[at] = "·" if is_waiting else "█"
