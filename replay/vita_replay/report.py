"""What came of a replay, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from vita_recordings.bundle import Bundle

from vita_replay.compare import Divergence, first_divergence
from vita_replay.events import lanes_of
from vita_replay.picture import as_text, first_sound_ms, waterfall

MOST_SHOWN = 5  # of diverging copies


@dataclass(frozen=True, slots=True)
class Played:
    """One copy of a replay."""

    bundle: Bundle
    fresh: tuple[str, ...] = ()  # what chance and the clock were asked beyond the recording
    waited_in_vain: str = ""  # for what the client waited and saw not
    failure: str = ""  # with which its stream ended


@dataclass(frozen=True, slots=True)
class Judged:
    """One copy, compared with the recording."""

    divergence: Divergence | None
    first_sound_ms: float | None
    is_sound_identical: bool
    event_count: int
    played: Played


@dataclass(frozen=True, slots=True)
class Report:
    """All copies."""

    name: str
    recorded: Bundle
    recorded_sound_ms: float | None
    copies: Sequence[Judged]
    real: Sequence[str]

    @property
    def is_identical(self) -> bool:
        """Whether no copy differs."""
        return all(copy.divergence is None for copy in self.copies)

    def as_json(self) -> str:
        """Return one line for a program."""
        times = sorted(copy.first_sound_ms for copy in self.copies if copy.first_sound_ms is not None)
        return json.dumps(
            {
                "bundle": self.name,
                "identical": self.is_identical,
                "real": list(self.real),
                "recorded_first_audio_ms": _rounded(self.recorded_sound_ms),
                "first_audio_ms": {"p50": _rounded(quantile(times, 0.5)), "p95": _rounded(quantile(times, 0.95))},
                "copies": [_copy(copy) for copy in self.copies],
            },
            ensure_ascii=False,
        )

    def as_text(self) -> str:
        """Return some lines for a person: the waterfalls of one copy, times if there are more, and the verdict."""
        first = self.copies[0]
        lines = [as_text([waterfall("replayed", first.played.bundle), waterfall("recorded", self.recorded)])]
        times = sorted(copy.first_sound_ms for copy in self.copies if copy.first_sound_ms is not None)
        if times:
            recorded = f"recorded {self.recorded_sound_ms:.0f} ms" if self.recorded_sound_ms is not None else "none"
            lines.append(
                f"first sound: p50 {quantile(times, 0.5):.0f} ms, p95 {quantile(times, 0.95):.0f} ms ({recorded})"
            )
        diverged = [(index, copy) for index, copy in enumerate(self.copies, start=1) if copy.divergence is not None]
        for index, copy in diverged[:MOST_SHOWN]:
            lines += _why(index if len(self.copies) > 1 else 0, copy)
        whole = f"{len(self.copies) - len(diverged)} of {len(self.copies)} copies " if len(self.copies) > 1 else ""
        verdict = "identical: sound sample by sample, and every event" if not diverged else "DIVERGED"
        lines.append(f"{whole}{verdict}" if not diverged or whole else verdict)
        return "\n".join(lines)


def judged(recorded: Bundle, played: Played) -> Judged:
    """Compare one copy."""
    before, after = recorded.records, played.bundle.records
    divergence = first_divergence(before, after, recorded.snapshot)
    lanes = lanes_of(before), lanes_of(after)
    is_same = all(name in lanes[1] and lanes[1][name].sound == lane.sound for name, lane in lanes[0].items())
    events = sum(len(lane.events) for lane in lanes[1].values())
    return Judged(divergence, first_sound_ms(played.bundle), is_same, events, played)


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that so large a share does not exceed; None: there is no value."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _why(index: int, copy: Judged) -> list[str]:
    lines = [f"{f'copy {index}: ' if index else ''}first divergence: {copy.divergence}"]
    if copy.played.failure:
        lines.append(f"  its stream ended: {copy.played.failure}")
    if copy.played.waited_in_vain:
        lines.append(f"  the client waited in vain for {copy.played.waited_in_vain}")
    if copy.played.fresh:
        lines.append(
            f"  beyond the recording it took from chance or the clock: {', '.join(sorted(set(copy.played.fresh)))}"
        )
    return lines


def _copy(copy: Judged) -> dict[str, object]:
    divergence = copy.divergence
    return {
        "identical": divergence is None,
        "sound_identical": copy.is_sound_identical,
        "events": copy.event_count,
        "first_audio_ms": _rounded(copy.first_sound_ms),
        "divergence": None
        if divergence is None
        else {
            "stage": divergence.stage,
            "record": divergence.message,
            "what": divergence.what,
            "expected": divergence.expected,
            "got": divergence.got,
        },
        "fresh": list(copy.played.fresh),
        "waited_in_vain": copy.played.waited_in_vain,
        "failure": copy.played.failure,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
