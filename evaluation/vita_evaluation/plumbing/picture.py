"""The table as one picture: how far each value is from its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vita_evaluation.plumbing.table import Row, number

BLUE, RED, GREY = "#3b6ea5", "#c0504d", "#a0a0a0"
LEAST = 0.02  # of the target: what is shown of a value that is nothing


def share(row: Row) -> float:
    """Return how much of its target a value uses: 1 is the target, less is better, whichever way it counts."""
    bound, value = row.target.bound or 0.0, row.value.median
    if row.target.is_least:
        return bound / max(value, 1e-9)
    return max(LEAST, value / bound) if bound else LEAST if value == 0 else 1 / LEAST


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the rows that have targets; SVG or PNG by the path's ending."""
    # Only here: the bench itself runs without it.
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    shown = [row for row in rows if row.target.bound is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 0.3 * len(shown) + 1.2))
    colours = [GREY if row.is_void else BLUE if row.target.is_met(row.value.median) else RED for row in shown]
    axes.barh(range(len(shown)), [share(row) for row in shown], color=colours, height=0.6)
    for at, row in enumerate(shown):
        text = f" {number(row.value.median)} ({row.target})"
        axes.text(max(share(row), 1.0), at, text, va="center", fontsize=8)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(shown)), [f"{row.number}  {row.name} {row.costs}" for row in shown], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(LEAST / 1.5, max(10.0, 2 * max((share(row) for row in shown), default=1.0)))
    axes.set_xlabel("share of the target used: left of the line is within it; grey is void", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
