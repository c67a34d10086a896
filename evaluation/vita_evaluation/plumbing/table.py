"""What the bench found, as a table for people and one object for programs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vita_runtime.errors import StartupError

from vita_evaluation.plumbing.arithmetic import A_A_LIMIT, Spread

START, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEADS = ("#", "metric", "costs", "value", "quartiles", "target", "", "A", "B", "A/A")


@dataclass(frozen=True, slots=True)
class Target:
    """What a value should be; None: it is only told."""

    bound: float | None = None
    is_least: bool = False  # the value should be at least so much, not at most

    def is_met(self, value: float) -> bool:
        """Whether a value is within."""
        if self.bound is None:
            return True
        return value >= self.bound if self.is_least else value <= self.bound

    def __str__(self) -> str:
        return "–" if self.bound is None else f"{'≥' if self.is_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    number: str  # as the list of metrics counts them
    name: str
    value: Spread
    target: Target = field(default_factory=Target)
    costs: str = ""  # of the modelled components: zero, x1, x10
    a: str = ""  # what was divided, with its unit
    b: str = ""
    twin: float = math.nan  # the A/A ratio of the family, at the same costs
    note: str = ""

    @property
    def is_void(self) -> bool:
        """Whether the machine was too noisy for this one."""
        return not math.isnan(self.twin) and abs(self.twin - 1) > A_A_LIMIT

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.is_void:
            return "void"
        if self.target.bound is None:
            return ""
        return "met" if self.target.is_met(self.value.median) else "MISSED"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells as text."""
    value = row.value
    quartiles = "" if value.low == value.high else f"{number(value.low)} … {number(value.high)}"
    twin = "" if math.isnan(row.twin) else f"{row.twin:.3f}"
    found = (number(value.median), quartiles, str(row.target), row.verdict)
    return (row.number, row.name, row.costs, *found, row.a, row.b, twin)


def number(value: float) -> str:
    """Return a number with as many digits as it deserves."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.2f}" if abs(value) >= 1.2 else f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.4f}"


def for_terminal(rows: Sequence[Row]) -> str:
    """Return the table in columns, notes below."""
    lines = [HEADS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, "", *_notes(rows)])


def for_markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown, notes below."""
    lines = [HEADS, ("---",) * len(HEADS)]
    lines += [tuple(_bold(cell, column, row) for column, cell in enumerate(cells(row))) for row in rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([table, "", *(f"- {note}" for note in _notes(rows))])


def _bold(cell: str, column: int, row: Row) -> str:
    return f"**{cell}**" if column == HEADS.index("value") and row.target.bound is not None else cell


def _notes(rows: Sequence[Row]) -> list[str]:
    notes: dict[str, str] = {}  # one a text, whichever rows it belongs to
    for row in rows:
        if row.note:
            before = notes.get(row.note, "")
            notes[row.note] = (
                before if row.number in before.split(", ") else ", ".join(filter(None, (before, row.number)))
            )
    return [f"{numbers}: {note}" for note, numbers in notes.items()]


def for_programs(rows: Sequence[Row], facts: dict[str, object]) -> dict[str, object]:
    """Return everything as plain values for JSON; what is not a number is null."""
    found = [{**asdict(row), "verdict": row.verdict, "is_void": row.is_void} for row in rows]
    return {**facts, "rows": [_plain(row) for row in found]}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def write_between_markers(path: Path, text: str) -> None:
    """Replace what stands between the markers of a document. Raises StartupError: it has none."""
    document = path.read_text() if path.is_file() else ""
    before, start, rest = document.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise StartupError(f"{path} lacks the lines {START} and {END}")
    path.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}")
