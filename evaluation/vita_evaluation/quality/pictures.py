"""What docs/quality.md shows: espeak's speech beside ours, as mel spectrograms."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from vita_training.speaking.corpus import Sound
from vita_training.speaking.spectra import MEL_RESOLUTION, log_mel

from vita15.config import SPEECH_OUT_HZ
from vita_evaluation.quality.material import Material
from vita_evaluation.quality.speaking import Speaker

MEL, CURVES = "quality-mel.png", "quality-curves.png"
CLAUSES = 3


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


def _show(axis: Axes, sound: Sound, longest_s: float) -> None:
    mel = log_mel(torch.from_numpy(sound)[None], *MEL_RESOLUTION)[0].numpy()
    axis.imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=(0, len(sound) / SPEECH_OUT_HZ, 0, len(mel)))
    axis.set_xlim(0, longest_s)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
