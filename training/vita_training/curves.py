"""Draw what the stages of a run logged: `python -m vita_training.curves` writes docs/pictures/training.png."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from vita_training.recipe.run_log import read_log

LOSSES = {  # what is drawn of each stage; figures that a run did not log are left out
    "0.1": ("colour", "shape", "place"),
    "0.2": ("answers",),
    "1.1": ("answers", "sights", "looks"),
    "1.2": ("answers", "sights", "looks"),
    "1.3": ("answers", "sights", "looks"),
    "2.1a": ("letters_stream", "letters_full", "words_stream"),
    "2.1b": ("answers", "words"),
    "2.2": ("answers", "words", "states"),
    "2.3": ("loss", "right"),
    "3.1": ("mel", "commitment"),
    "3.2": ("code", "word", "guide"),
}
POINTS = 150  # of each curve: means over so many stretches of the run
COLUMNS = 4


def plot(axes: Axes, log: list[dict[str, float]], names: tuple[str, ...]) -> None:
    """Draw named figures over the steps."""
    for name in names:
        points = np.array([(line["step"], line[name]) for line in log if name in line])
        if len(points):
            means = np.array([part.mean(0) for part in np.array_split(points, min(POINTS, len(points)))])
            axes.plot(means[:, 0], means[:, 1], label=name)
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".vita/training/tiny"), help="of the run")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/training.png"))
    options = parser.parse_args()
    mpl.use("Agg")
    logs = {stage: read_log(options.folder / stage / "log.jsonl") for stage in LOSSES}
    drawn = {stage: log for stage, log in logs.items() if log}
    rows = -(-len(drawn) // COLUMNS)
    figure, panels = pyplot.subplots(rows, COLUMNS, figsize=(18, 3.6 * rows), layout="constrained", squeeze=False)
    for axes in panels.flat[len(drawn) :]:
        axes.set_axis_off()
    for axes, (stage, log) in zip(panels.flat, drawn.items(), strict=False):
        plot(axes, log, LOSSES[stage])
        axes.set_title(f"stage {stage}, {log[-1]['seconds'] / 60:.0f} min")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
