"""`make tiny`'s two lanes reach every stage once, and neither waits for ever."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from vita_training.recipe.run_log import FolderTakenError, RunLog
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
    log = RunLog(tmp_path, 0)
    for step in range(1, 6):
        log.add(step, loss=1 / step)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    log.close()
    with closing(RunLog(tmp_path, 3)) as resumed:
        resumed.add(4, loss=0.5)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [line[:10] for line in lines] == [f'{{"step": {step}' for step in (1, 2, 3, 4)]


def test_two_runs_never_work_in_one_folder(tmp_path: Path) -> None:
    first = RunLog(tmp_path, 0)
    with pytest.raises(FolderTakenError, match="another run"):
        RunLog(tmp_path, 0)
    first.close()
    RunLog(tmp_path, 0).close()
