"""The bars as one table: what is measured, what it should be, and how what was found is shown. Pure.

They are those of the issue that the tiny model was trained for; those called "ours" are beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vita_evaluation.quality.intervals import Interval

HEADS = ("", "what", "found", "95 %", "of", "bar", "")


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of the table."""

    key: str  # "family.measure"
    name: str
    bound: float | None = None  # None: only told
    is_least: bool = True  # the value should be at least so much, not at most
    scale: float = 100.0  # what values are shown times: shares as per cent
    digits: int = 1

    @property
    def family(self) -> str:
        """What is measured together."""
        return self.key.partition(".")[0]

    @property
    def target(self) -> str:
        """The bar, as text."""
        return "" if self.bound is None else f"{'≥' if self.is_least else '≤'} {self.shown(self.bound)}"

    def shown(self, value: float) -> str:
        """A value, as text."""
        number = f"{value * self.scale:.{self.digits}f}"
        return f"{number} %" if self.scale == 100.0 else number

    def is_met(self, value: float) -> bool:
        """Whether a value meets the bar."""
        if self.bound is None:
            return True
        return value >= self.bound if self.is_least else value <= self.bound


BARS = (
    Bar("hearing.clean", "word error rate of transcription, clean", 0.05, is_least=False),
    Bar("hearing.noisy", "word error rate of transcription, noise at 10 dB", 0.12, is_least=False),
    Bar("hearing.streaming", "word error rate, streaming less full attention, clean", 0.02, is_least=False),
    Bar("hearing.streaming_noisy", "the same with noise at 10 dB", 0.02, is_least=False),
    Bar("seeing.typed", "questions about a picture, typed: content exact", 0.95),
    Bar("seeing.spoken", "questions about a picture, spoken: content exact", 0.90),
    Bar("video.typed", "what moved where: content exact", 0.90),
    Bar("memory.answers", "answers that need an earlier turn, within 4 turns: content exact", 0.90),
    Bar("memory.whole", "ours: conversations of 4 turns with every answer right"),
    Bar("tools.whole", "right tool, right arguments, answer from the result", 0.80),
    Bar("tools.calls", "ours: right tool, right arguments"),
    Bar("noise.rejected", "noise rejected", 0.97),
    Bar("noise.wrongly", "real questions rejected", 0.02, is_least=False),
    Bar("turns.unfinished", "unfinished sentences waited for", 0.90),
    Bar("turns.finished", "finished sentences delayed by over 500 ms", 0.05, is_least=False),
    Bar("speaking.original", "recogniser's own word error rate on espeak's voice", 0.02, is_least=False),
    Bar("speaking.words", "word error rate of our voice less the recogniser's own", 0.05, is_least=False),
    Bar("speaking.exact", "clauses heard exactly", 0.90),
    Bar("speaking.other", "negative control: heard as another clause", 0.10, is_least=False),
    Bar("speaking.ends", "clean ends: no runaway, no missing last word", 0.99),
    Bar("codec.stoi", "codec alone: STOI of resynthesis", 0.90, scale=1.0, digits=3),
    Bar("codec.use", "codec alone: use of its codes", 0.80),
    Bar("codec.timbre", "ours: long-term spectrum apart from espeak's, dB", 2.0, is_least=False, scale=1.0, digits=2),
    Bar("codec.mel", "ours: log-mel distance of resynthesis, nepers", scale=1.0, digits=3),
    Bar("stack.right", "speech to speech through the running stack: content right", 0.85),
    Bar("stack.text", "ours: the same by its text, not its sound"),
    Bar("stack.original", "recogniser's own word error rate on espeak saying these answers", 0.02, is_least=False),
    Bar("stack.other", "negative control: sound of another answer", 0.10, is_least=False),
    Bar("speed.factor", "real-time factor of speaking on one core", 0.5, is_least=False, scale=1.0, digits=3),
)
BY_KEY = {bar.key: bar for bar in BARS}
FAMILIES = tuple(dict.fromkeys(bar.family for bar in BARS))


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found for a bar."""

    key: str
    value: Interval | None  # None: it could not be measured, and the note says why
    count: int = 0  # of what it is a share or a mean
    note: str = ""
    is_valid: bool = True  # False: what measures it does not measure well enough
    has_failed: bool = False  # measuring it ended in an error

    @property
    def bar(self) -> Bar:
        """The bar."""
        return BY_KEY[self.key]

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.has_failed:
            return "FAILED"
        if self.value is None:
            return "not measured"
        if not self.is_valid:
            return "void"
        if self.bar.bound is None:
            return ""
        return "met" if self.bar.is_met(self.value.value) else "MISSED"


def missing(family: str, found: Iterable[Finding], note: str, *, has_failed: bool = False) -> list[Finding]:
    """Return findings for a family's bars that nothing was found for, saying why."""
    had = {finding.key for finding in found}
    keys = [bar.key for bar in BARS if bar.family == family and bar.key not in had]
    return [Finding(key, None, note=note, has_failed=has_failed) for key in keys]


def for_terminal(findings: Sequence[Finding]) -> str:
    """Return the table in columns, notes below."""
    lines = [HEADS, *_lines(findings)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, *(f"  {note}" for note in _notes(findings))])


def for_markdown(findings: Sequence[Finding]) -> str:
    """Return the table in Markdown, notes below."""
    lines = [HEADS, ("---",) * len(HEADS), *_lines(findings)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([table, "", *(f"- {note}" for note in _notes(findings))])


def for_programs(findings: Sequence[Finding], facts: Mapping[str, object]) -> dict[str, object]:
    """Return everything as plain values for JSON; what is not a number is null."""
    return {**facts, "bars": [_plain(finding) for finding in findings]}


def _plain(finding: Finding) -> dict[str, object]:
    value = finding.value or Interval(math.nan)
    ends = {"value": value.value, "low": value.low, "high": value.high, "bound": finding.bar.bound}
    numbers = {name: round(end, 5) if end is not None and math.isfinite(end) else None for name, end in ends.items()}
    return {
        **{"key": finding.key, "name": finding.bar.name, **numbers, "count": finding.count},
        **{"verdict": finding.verdict, "note": finding.note},
    }


def _lines(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for finding in findings:
        bar, value = finding.bar, finding.value
        found = "–" if value is None else bar.shown(value.value)
        has_ends = value is not None and not math.isnan(value.low)
        ends = f"{bar.shown(value.low)} … {bar.shown(value.high)}" if value is not None and has_ends else ""
        lines.append((bar.family, bar.name, found, ends, str(finding.count or ""), bar.target, finding.verdict))
    return lines


def _notes(findings: Sequence[Finding]) -> list[str]:
    """Notes, each once, with whose it is."""
    notes: dict[str, list[str]] = {}
    for finding in findings:
        if finding.note:
            notes.setdefault(finding.note, []).append(finding.key)
    return [f"{', '.join(keys)}: {note}" for note, keys in notes.items()]
