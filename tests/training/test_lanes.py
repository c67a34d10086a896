"""`make tiny`'s two lanes reach every stage once, and neither waits for ever."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from vita_training.recipe import tiny
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.run_log import FolderTakenError, RunLog, last_step
from vita_training.recipe.stages import SPEAKING, STAGES
from vita_training.recipe.tiny import LANES, Tiny, needs
from vita_training.speaking.stages import SPEAKING_SCHEDULES

pytestmark = pytest.mark.unit

EVERY = (*STAGES, *SPEAKING)


def write_stage(folder: Path, stage: str, seconds: float, **more: Any) -> None:
    """A finished stage's snapshot."""
    (folder / stage).mkdir(parents=True, exist_ok=True)
    progress = {"step": 5, "seconds": seconds, "is_finished": True, **more}
    save_file({}, folder / stage / SNAPSHOT, {"progress": json.dumps(progress)})


def times(folder: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "times.jsonl").read_text().splitlines()]
    return {line["what"]: line["minutes"] for line in lines if line["what"] != "rendering"}


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is rendered, and nobody waits."""
    monkeypatch.setattr(tiny, "prepare_tokenizer", lambda folder: folder / "tokenizer.json")
    monkeypatch.setattr(tiny.pool, "ensure", lambda: None)
    monkeypatch.setattr(tiny, "POLL_S", 0.0)


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


class Stage:
    """In the place of a stage's process: the last of several in which the stage was taught; it has 90 s in all."""

    def __init__(self, command: list[str], **_: object) -> None:
        write_stage(Path(command[command.index("--folder") + 1]), command[3], 90.0)

    def poll(self) -> int:
        return 0


def test_a_stages_time_is_that_of_all_sessions_and_a_lanes_that_of_its_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: None
) -> None:
    for stage in EVERY:
        if stage not in ("2.3", "3.2"):
            write_stage(tmp_path, stage, 600.0)
    monkeypatch.setattr(tiny.subprocess, "Popen", Stage)
    Tiny(tmp_path).run()
    lanes = {"lane A": 3 * 10 + 2 * 1.5, "lane B": 6 * 10}
    assert times(tmp_path) == {"2.3": 1.5, "3.2": 1.5, **lanes}


@pytest.mark.parametrize("stage", ["0.1", "3.2"])
def test_a_stage_of_a_trial_or_of_another_seed_is_not_passed_over(tmp_path: Path, prepared: None, stage: str) -> None:
    for each in EVERY:
        write_stage(tmp_path, each, 60.0)
    Tiny(tmp_path).run()  # what does not say what it was asked for is taken as it is
    table = SPEAKING_SCHEDULES[stage] if stage in SPEAKING else STAGES[stage].schedule
    trial = table.shortened(0.1)
    write_stage(tmp_path, stage, 60.0, asked=dict(trial.asked()))
    Tiny(tmp_path, share=0.1).run()
    with pytest.raises(RecipeError, match=rf"{stage}.*: steps was {trial.steps} and is {table.steps} now"):
        Tiny(tmp_path).run()
    write_stage(tmp_path, stage, 60.0, asked=dict(replace(table, seed=1).asked()))
    with pytest.raises(RecipeError, match=rf"{stage}.*: seed was 1 and is 0 now"):
        Tiny(tmp_path).run()


def test_what_stands_on_a_stage_that_is_to_be_taught_anew_is_not_passed_over(tmp_path: Path, prepared: None) -> None:
    for each in EVERY:
        if each != "1.3":
            write_stage(tmp_path, each, 60.0)
    with pytest.raises(RecipeError, match=r"stage 2\.1b has begun, and 1\.3, on which it stands, is not there: remove"):
        Tiny(tmp_path).run()
