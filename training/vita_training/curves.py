"""Draw what the stages logged: `python -m vita_training.curves` writes docs/pictures/training-understanding.png."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

Log = list[dict[str, float]]


def read_log(path: Path) -> Log:
    """Read a run's log; runs that continue an earlier one follow it in the same file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def plot(axes: Axes, log: Log, names: tuple[str, ...], title: str) -> None:
    """Draw named figures over training time, a restart of the clock added to what came before."""
    elapsed, offset, last = list[float](), 0.0, 0.0
    for line in log:
        offset += last if line["minutes"] < last else 0.0
        last = line["minutes"]
        elapsed.append(offset + last)
    for name in names:
        points = [(minute, line[name]) for minute, line in zip(elapsed, log, strict=True) if name in line]
        axes.plot(*zip(*points, strict=True), label=name)
    axes.set_title(title)
    axes.set_xlabel("minutes")
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".vita/training"))
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/training-understanding.png"))
    options = parser.parse_args()
    mpl.use("Agg")
    figure, axes = pyplot.subplots(1, 4, figsize=(18, 4), layout="constrained")
    plot(axes[0], read_log(options.folder / "seeing/log.jsonl"), ("colour", "shape", "place"), "vision: cells right")
    listening = read_log(options.folder / "hearing/log.jsonl")
    plot(
        axes[1], listening, ("letters_stream", "words_stream", "wer_stream", "wer_full"), "hearing: CTC and word errors"
    )
    runs = ((axes[2], "answering_first_log.jsonl", "small first weights"), (axes[3], "answering/log.jsonl", "kept"))
    for panel, name, title in runs:
        if (options.folder / name).exists():
            log = read_log(options.folder / name)
            plot(panel, log, ("loss", "looks", "sights", "words"), f"answering: losses, {title}")
            panel.set_ylim(0.02, 4)
            panel.set_yscale("log")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
