"""What the stages of a run logged, as one picture: `python -m vita_training.curves` writes docs/pictures/training.png.

Losses stand on the left axis of each panel, what judged the stage on development data on the right one.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from vita_training.recipe.run_log import read_log

POINTS = 200  # of a curve: each the mean of a stretch of steps
COLUMNS = 4
JUDGED = "judged_"  # how figures on development data begin
MOST_JUDGED = 6  # lines: more cannot be told apart
NOT_DRAWN = ("step", "seconds", "rate", "norm")


def draw_curves(folder: Path, path: Path) -> bool:
    """Draw what each stage in a run's folder logged; return whether any has."""
    logs = _logs(folder)

    def plot(axes: Axes, stage: str) -> None:
        _plot(axes, stage, logs[stage])

    return _draw(list(logs), plot, path)


def draw_losses(folders: Sequence[Path], path: Path) -> bool:
    """Draw the losses of several runs, stage by stage in one panel; return whether any has logged."""
    runs = {folder.name: _logs(folder) for folder in folders}

    def plot(axes: Axes, stage: str) -> None:
        for name, logs in runs.items():
            points = smooth(_points(logs.get(stage, ()), "loss"))
            axes.plot([x for x, _ in points], [y for _, y in points], label=name, linewidth=1.2)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_title(f"stage {stage}", fontsize=10)
        axes.legend(fontsize=8)

    return _draw(sorted({stage for logs in runs.values() for stage in logs}), plot, path)


def smooth(points: Sequence[tuple[float, float]], count: int = POINTS) -> list[tuple[float, float]]:
    """Means of stretches of neighbouring points, at most `count` of them."""
    size = max(1, math.ceil(len(points) / count))
    stretches = [np.array(points[at : at + size]) for at in range(0, len(points), size)]
    return [(float(each[:, 0].mean()), float(each[:, 1].mean())) for each in stretches]


def _logs(folder: Path) -> dict[str, list[dict[str, float]]]:
    """What the stages of a run logged, by stage; those that logged anything."""
    logs = {log.parent.name: read_log(log) for log in sorted(folder.glob("*/log.jsonl"))}
    return {stage: lines for stage, lines in logs.items() if lines}


def _draw(stages: Sequence[str], plot: Callable[[Axes, str], None], path: Path) -> bool:
    """Draw a panel a stage; return whether there is any."""
    if not stages:
        return False
    mpl.use("Agg")
    rows = math.ceil(len(stages) / COLUMNS)
    figure, panels = pyplot.subplots(rows, COLUMNS, figsize=(18, 3.4 * rows), layout="constrained", squeeze=False)
    for axes in list(panels.flat)[len(stages) :]:
        axes.set_axis_off()
    for axes, stage in zip(panels.flat, stages, strict=False):
        plot(axes, stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
    return True


def _plot(axes: Axes, stage: str, lines: Sequence[dict[str, float]]) -> None:
    names = sorted({name for line in lines for name in line if name not in NOT_DRAWN})
    judged = [name for name in names if name.startswith(JUDGED)][:MOST_JUDGED]
    for name in [name for name in names if not name.startswith(JUDGED)]:
        points = smooth(_points(lines, name))
        color, width = ("black", 2.0) if name == "loss" else (None, 0.8)
        axes.plot(*zip(*points, strict=True), label=name, color=color, linewidth=width)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_title(f"stage {stage}, {max(line.get('seconds', 0.0) for line in lines) / 60:.0f} min", fontsize=10)
    axes.legend(fontsize=6, loc="upper right")
    if judged:
        right = axes.twinx()
        for name in judged:
            right.plot(*zip(*_points(lines, name), strict=True), marker=".", label=name.removeprefix(JUDGED))
        right.legend(fontsize=6, loc="lower left")


def _points(lines: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    return [(line["step"], line[name]) for line in lines if name in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".vita/training/tiny"), help="of the run")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/training.png"))
    options = parser.parse_args()
    if not draw_curves(options.folder, options.out):
        parser.error(f"{options.folder} holds no log")


if __name__ == "__main__":
    main()
