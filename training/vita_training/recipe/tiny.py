"""`make tiny`: train the tiny model from nothing, in two lanes of processes, a core each.

    python -m vita_training.recipe.tiny --folder .vita/training/tiny

Lane A learns to hear and to speak (2.1a, 3.1, 3.2), lane B to see and to answer (0.1 to 1.3, 2.1b to 2.3). Stages
that are finished are passed over, and one that was killed goes on from its snapshot: started again, it ends with the
same weights. `times.jsonl` says how long each took.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from vita_training.recipe import snapshot
from vita_training.recipe.configuration import prepare_tokenizer
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.run_log import read_log
from vita_training.recipe.stages import STAGES
from vita_training.world import pool

SPEAKING = {"3.1": (), "3.2": ("3.1",)}  # what each starts from
LANES = {
    "A": ("2.1a", "3.1", "3.2"),
    "B": ("0.1", "0.2", "1.1", "1.2", "1.3", "2.1b", "2.2", "2.3"),
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
    began: float = 0.0  # seconds, monotonic

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
            StageFailed: a stage did not finish; the other lane was stopped, and all can be started again.
        """
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
        self._note("all", time.monotonic() - began)

    def _attend(self, lane: Lane) -> None:
        """Start a lane's next stage, or look after the one that runs."""
        if lane.process is None:
            if lane.pending and all(map(self._is_finished, needs(lane.pending[0]))):
                self._start(lane)
            return
        stage = lane.pending[0]
        lane.bar.set_description(f"lane {lane.name}, stage {stage}")
        log = read_log(self.folder / stage / "log.jsonl")
        lane.bar.update(int(log[-1]["step"]) - lane.bar.n if log else 0)
        code = lane.process.poll()
        if code is None:
            return
        lane.process = None
        if code != 0 or not self._is_finished(stage):
            raise StageFailed(f"stage {stage} ended with {code}:\n{self._output(stage).read_text()[-2000:]}")
        self._note(stage, time.monotonic() - lane.began)
        lane.pending.pop(0)

    def _start(self, lane: Lane) -> None:
        stage = lane.pending[0]
        (self.folder / stage).mkdir(exist_ok=True)
        lane.began = time.monotonic()
        lane.bar.reset()
        command = [sys.executable, "-m", "vita_training.recipe", stage, "--folder", str(self.folder), "--threads", "1"]
        command += ["--seed", str(self.seed), "--share", str(self.share)]
        one_core = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        with self._output(stage).open("ab") as output:
            lane.process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | one_core)

    def _is_finished(self, stage: str) -> bool:
        return snapshot.read_progress(self.folder / stage / SNAPSHOT).is_finished

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
    except StageFailed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; started again, it goes on from here")


if __name__ == "__main__":
    main()
