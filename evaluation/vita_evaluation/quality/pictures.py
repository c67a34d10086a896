"""What docs/quality.md shows: espeak's speech beside ours as mel spectrograms, and the curves of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from vita_training.recipe.run_log import read_log
from vita_training.speaking.corpus import Sound
from vita_training.speaking.spectra import MEL_RESOLUTION, log_mel

from vita15.config import SPEECH_OUT_HZ
from vita_evaluation.quality.material import Material
from vita_evaluation.quality.speaking import Speaker

MEL, CURVES = "quality-mel.png", "quality-curves.png"
CLAUSES = 3
POINTS = 200  # of a curve: each the mean of a stretch of steps
COLUMNS = 4
JUDGED = "judged_"  # how figures on development data begin; they are drawn against the right axis
MOST_JUDGED = 6  # lines: more cannot be told apart


def draw_mel(material: Material, path: Path) -> None:
    """Draw the longest held-out clauses, espeak's on the left and ours on the right."""
    texts = sorted(material.clauses.held_out, key=len, reverse=True)[:CLAUSES]
    ours = Speaker(material.checkpoint).speak(texts)
    mpl.use("Agg")
    figure, axes = pyplot.subplots(CLAUSES, 2, figsize=(12, 2.4 * CLAUSES), layout="constrained", squeeze=False)
    for row, (text, said) in enumerate(zip(texts, ours, strict=True)):
        original = material.voice.speak(text).samples
        longest_s = max(len(original), len(said.sound)) / SPEECH_OUT_HZ
        for axis, sound, who in zip(axes[row], (original, said.sound), ("espeak", "ours"), strict=True):
            _show(axis, sound, longest_s)
            axis.set_title(f"{who}: “{text}”", fontsize=9)
    axes[-1][0].set_xlabel("seconds")
    axes[-1][0].set_ylabel("mel bin")
    _save(figure, path)


def draw_curves(material: Material, path: Path) -> bool:
    """Draw what each stage of the recipe logged; return whether any has."""
    folder = material.stage_folder("")
    logs = {log.parent.name: read_log(log) for log in sorted(folder.glob("*/log.jsonl"))}
    logs = {stage: lines for stage, lines in logs.items() if lines}
    if not logs:
        return False
    mpl.use("Agg")
    rows = math.ceil(len(logs) / COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(16, 3 * rows), layout="constrained", squeeze=False)
    for axis, (stage, lines) in zip(axes.flat, logs.items(), strict=False):
        _plot(axis, stage, lines)
    for axis in list(axes.flat)[len(logs) :]:
        axis.set_visible(False)
    _save(figure, path)
    return True


def smooth(points: Sequence[tuple[float, float]], count: int = POINTS) -> list[tuple[float, float]]:
    """Means of stretches of neighbouring points, at most `count` of them."""
    size = max(1, math.ceil(len(points) / count))
    stretches = [np.array(points[at : at + size]) for at in range(0, len(points), size)]
    return [(float(each[:, 0].mean()), float(each[:, 1].mean())) for each in stretches]


def _plot(axis: Axes, stage: str, lines: Sequence[dict[str, float]]) -> None:
    """Draw a stage: its loss on the left, what judged it on the right."""
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    if losses:
        axis.plot(*zip(*smooth(losses), strict=True), color="black", label="loss")
        axis.set_yscale("log")
    names = sorted({name for line in lines for name in line if name.startswith(JUDGED)})
    judged = axis.twinx()
    for name in names[:MOST_JUDGED]:
        points = [(line["step"], line[name]) for line in lines if name in line]
        judged.plot(*zip(*points, strict=True), marker=".", label=name.removeprefix(JUDGED))
    if names:
        judged.legend(fontsize=6)
    axis.set_title(f"stage {stage}: loss (black), judged on development data", fontsize=9)
    axis.set_xlabel("step")


def _show(axis: Axes, sound: Sound, longest_s: float) -> None:
    mel = log_mel(torch.from_numpy(sound)[None], *MEL_RESOLUTION)[0].numpy()
    axis.imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=(0, len(sound) / SPEECH_OUT_HZ, 0, len(mel)))
    axis.set_xlim(0, longest_s)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
