"""Two runs end alike where all their losses do, and what differs is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from vita_training.recipe import compare
from vita_training.recipe.stages import SPEAKING, STAGES

pytestmark = pytest.mark.unit

EVERY = (*STAGES, *SPEAKING)


def write_run(folder: Path, end: float, steps: int = 50, **others: float) -> Path:
    """Logs of all stages: losses that fall from 9 to `end`, or to what `others` says of a stage."""
    for stage in EVERY:
        last = others.get(stage, end)
        lines = [{"step": n + 1, "loss": 9.0 if n < steps // 2 else last} for n in range(steps)]
        (folder / stage).mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in [*lines, {"step": steps, "judged_text": 0.5}])
        (folder / stage / "log.jsonl").write_text(text)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    return ended.value.code


def test_runs_within_a_tenth_are_alike_and_are_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_run(tmp_path / "a", 0.5), write_run(tmp_path / "b", 0.54)
    assert run(monkeypatch, first, second, "--out", tmp_path / "both.png") == 0
    said = capsys.readouterr().out.splitlines()
    assert "| 1.3 | 50 | 0.5000 | 0.5400 | +8.0 % | yes |" in said
    verdict = json.loads(said[-1])
    assert verdict["is_alike"]
    assert [stage["stage"] for stage in verdict["stages"]] == list(EVERY)
    assert (tmp_path / "both.png").stat().st_size > 1000


@pytest.mark.parametrize(("loss", "steps"), [(0.56, 50), (0.44, 50), (0.5, 40)])
def test_one_stage_that_ends_elsewhere_or_took_other_steps_is_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], loss: float, steps: int
) -> None:
    first, second = write_run(tmp_path / "a", 0.5), write_run(tmp_path / "b", 0.5, steps, **{"2.2": loss})
    assert run(monkeypatch, first, second) == 1
    assert not json.loads(capsys.readouterr().out.splitlines()[-1])["is_alike"]


def test_a_stage_that_one_run_has_not_is_not_alike_and_has_no_loss(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_run(tmp_path / "a", 0.5), write_run(tmp_path / "b", 0.5)
    (second / "3.2/log.jsonl").unlink()
    assert run(monkeypatch, first, second) == 1
    verdict = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [stage["stage"] for stage in verdict["stages"] if not stage["is_alike"]] == ["3.2"]
    assert verdict["stages"][-1]["second"] is None
