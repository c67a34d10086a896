"""`make tiny`'s two lanes reach every stage once, and neither waits for ever."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from vita_training.recipe.run_log import FolderTakenError, RunLog, last_step
from vita_training.recipe.stages import STAGES
from vita_training.recipe.tiny import LANES, SPEAKING, needs

pytestmark = pytest.mark.unit


def test_every_stage_is_in_one_lane() -> None:
    assert sorted(stage for lane in LANES.values() for stage in lane) == sorted([*STAGES, *SPEAKING])


def test_no_lane_waits_for_ever() -> None:
    finished: set[str] = set()
    waiting = {name: list(lane) for name, lane in LANES.items()}
    while any(waiting.values()):
        ready = [lane for lane in waiting.values() if lane and set(needs(lane[0])) <= finished]
        assert ready, f"{waiting} wait, with {finished} finished"
        finished |= {lane.pop(0) for lane in ready}


def test_lines_of_steps_that_will_be_taken_again_are_dropped_and_a_torn_line_is_no_line(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in range(1, 6):
        log.add(step, loss=1 / step)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    log.close()
    with closing(RunLog(tmp_path)) as resumed:
        resumed.rewind(3)
        resumed.add(4, loss=0.5)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [line[:10] for line in lines] == [f'{{"step": {step}' for step in (1, 2, 3, 4)]


def test_two_runs_never_work_in_one_folder(tmp_path: Path) -> None:
    first = RunLog(tmp_path)
    first.rewind(0)  # replaces the log, and keeps the folder
    with pytest.raises(FolderTakenError, match="another run"):
        RunLog(tmp_path)
    first.close()
    RunLog(tmp_path).close()


def test_a_log_that_cannot_be_rewritten_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Path, text: str, **_options: str) -> None:
        with _self.open("w") as file:
            file.write(text[:9])
        raise OSError("no space left on device")

    with closing(RunLog(tmp_path)) as log:
        log.add(1, loss=0.5)
        before = (tmp_path / "log.jsonl").read_bytes()
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="no space"):
            log.rewind(1)
        assert (tmp_path / "log.jsonl").read_bytes() == before


def test_a_logs_last_step_is_read_from_its_end_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert last_step(path) == 0
    begun = "what is not read need not be JSON\n" * 2000
    path.write_text(begun + '{"step": 7, "loss": 0.5}\n{"step": 8, "loss": 0.25}\n{"step": 9, "lo')
    assert last_step(path) == 8
