"""`make tiny`: train the tiny model from nothing, in two lanes of processes, a core each.

    python -m vita_training.recipe.tiny --folder .vita/training/tiny

Lane A learns to talk, to hear and to speak (0.2, 2.1a, 2.3, 3.1, 3.2), lane B to see and to answer (the rest). Stages
that are finished are passed over, and one that was killed goes on from its snapshot: started again, it ends with the
same weights. It does not begin where a stage was taught with another seed or for other steps, or where one was taught
anew and those after it were not.

`times.jsonl` says how long the steps of each stage took, and those of each lane together, over all the times that they
were started: loading, judging, and steps that a kill took back are not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from vita_training.recipe import snapshot
from vita_training.recipe.configuration import prepare_tokenizer
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.run_log import LOG, last_step
from vita_training.recipe.sets import WORLD
from vita_training.recipe.stages import SPEAKING, STAGES
from vita_training.recipe.upstream import check_upstream
from vita_training.speaking.stages import SPEAKING_SCHEDULES
from vita_training.world import pool

LANES = {
    "A": ("0.2", "2.1a", "2.3", "3.1", "3.2"),
    "B": ("0.1", "1.1", "1.2", "1.3", "2.1b", "2.2"),
}
POLL_S = 2.0
GRACE_S = 20.0  # for a stage that is told to stop


class StageFailed(Exception):
    """A stage's process ended with an error; its last words are in the message."""


@dataclass
class Lane:
    """Stages one after another."""

    name: str
    pending: list[str]
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Show the lane on a line of its own."""
        place = sorted(LANES).index(self.name)
        self.bar: tqdm[NoReturn] = tqdm(position=place, desc=f"lane {self.name}", unit="step", disable=None)


@dataclass
class Tiny:
    """The whole run."""

    folder: Path
    seed: int = 0
    share: float = 1.0  # of the table's steps

    def run(self) -> None:
        """Render, then teach both lanes.

        Raises:
            RecipeError: what is in the folder was asked for otherwise, or does not stand on what it was taught upon;
                nothing was begun.
            StageFailed: a stage did not finish; the other lane was stopped, and all can be started again.
        """
        for stage in (*STAGES, *SPEAKING):
            snapshot.check_asked(self.folder / stage / SNAPSHOT, self._asked(stage))
        check_upstream(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        prepare_tokenizer(self.folder)
        pool.ensure()
        self._note("rendering", time.monotonic() - began)
        lanes = [Lane(name, [s for s in stages if not self._is_finished(s)]) for name, stages in LANES.items()]
        try:
            while any(lane.process or lane.pending for lane in lanes):
                for lane in lanes:
                    self._attend(lane)
                time.sleep(POLL_S)
        finally:
            _stop([lane.process for lane in lanes if lane.process])
            for lane in lanes:
                lane.bar.close()
        for name, stages in LANES.items():
            self._note(f"lane {name}", sum(map(self._seconds, stages)))

    def _attend(self, lane: Lane) -> None:
        """Start a lane's next stage, or look after the one that runs."""
        if lane.process is None:
            if lane.pending and all(map(self._is_finished, needs(lane.pending[0]))):
                self._start(lane)
            return
        stage = lane.pending[0]
        lane.bar.set_description(f"lane {lane.name}, stage {stage}")
        lane.bar.update(last_step(self.folder / stage / LOG) - lane.bar.n)
        code = lane.process.poll()
        if code is None:
            return
        lane.process = None
        if code != 0 or not self._is_finished(stage):
            raise StageFailed(f"stage {stage} ended with {code}:\n{self._output(stage).read_text()[-2000:]}")
        self._note(stage, self._seconds(stage))
        lane.pending.pop(0)

    def _start(self, lane: Lane) -> None:
        stage = lane.pending[0]
        (self.folder / stage).mkdir(exist_ok=True)
        lane.bar.reset()
        command = [sys.executable, "-m", "vita_training.recipe", stage, "--folder", str(self.folder), "--threads", "1"]
        command += ["--seed", str(self.seed), "--share", str(self.share)]
        one_core = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        with self._output(stage).open("ab") as output:
            lane.process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | one_core)

    def _is_finished(self, stage: str) -> bool:
        return snapshot.read_progress(self.folder / stage / SNAPSHOT).is_finished

    def _asked(self, stage: str) -> Mapping[str, str | float]:
        schedule = SPEAKING_SCHEDULES[stage] if stage in SPEAKING else STAGES[stage].schedule
        return replace(schedule.shortened(self.share), seed=self.seed, data=WORLD).asked()

    def _seconds(self, stage: str) -> float:
        """What the stage's steps took: its snapshot keeps that over restarts."""
        return snapshot.read_progress(self.folder / stage / SNAPSHOT).seconds

    def _output(self, stage: str) -> Path:
        return self.folder / stage / "output.txt"

    def _note(self, what: str, seconds: float) -> None:
        line = {"what": what, "minutes": round(seconds / 60, 2)}
        with (self.folder / "times.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
        tqdm.write(f"{what}: {seconds / 60:.1f} min")


def needs(stage: str) -> tuple[str, ...]:
    """The stages that must be finished before this one begins."""
    return SPEAKING[stage] if stage in SPEAKING else STAGES[stage].after


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".vita/training/tiny"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps, for a trial")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the stages' processes are stopped, whoever stops this
    try:
        Tiny(options.folder, options.seed, options.share).run()
    except (RecipeError, StageFailed) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; started again, it goes on from here")


if __name__ == "__main__":
    main()
