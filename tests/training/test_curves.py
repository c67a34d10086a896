"""The curves of a run show what its stages logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vita_training.curves import draw_curves, smooth

pytestmark = pytest.mark.unit


def test_a_curve_keeps_its_ends_and_its_mean() -> None:
    points = [(float(step), float(step % 7)) for step in range(1000)]
    drawn = smooth(points, 100)
    assert len(drawn) == 100
    assert sum(y for _, y in drawn) / 100 == pytest.approx(sum(y for _, y in points) / 1000)
    assert smooth(points[:5]) == points[:5]


def test_curves_are_drawn_of_what_was_logged(tmp_path: Path) -> None:
    assert not draw_curves(tmp_path, tmp_path / "none.png")
    folder = tmp_path / "1.3"
    folder.mkdir(parents=True)
    lines = [{"step": step, "loss": 1 / step} for step in range(1, 30)] + [{"step": 29, "judged_text": 0.5}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert draw_curves(tmp_path, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
