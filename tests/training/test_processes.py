"""Under `torchrun` the loop's processes teach one model, each from batches of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from vita_training.recipe.loop import PROCESS_STRIDE, SNAPSHOT, run
from vita_training.recipe.run_log import read_log

from tests.stack import ROOT
from tests.training.test_loop import SCHEDULE, Sums

pytestmark = pytest.mark.slow

SCRIPT = """
import os, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from tests.training.test_loop import SCHEDULE, Sums
from vita_training.recipe.loop import run
torch.set_num_threads(1)
lesson, folder = Sums(), Path(sys.argv[1])
run(lesson, SCHEDULE, folder)
save_file(lesson.model.state_dict(), folder / f"rank{os.environ['RANK']}.safetensors")
"""


def test_two_processes_end_with_one_model_that_both_taught(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(tmp_path / "script.py")]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path / "run")], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (load_file(tmp_path / f"run/rank{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first if name != "means.weight")
    log = read_log(tmp_path / "run/log.jsonl")
    assert [line["step"] for line in log] == [*range(1, 13), 12]  # one process writes

    alone = Sums()
    run(alone, SCHEDULE, tmp_path / "alone")
    theirs = load_file(tmp_path / "run" / SNAPSHOT)
    assert not torch.equal(theirs["model.learning.1.weight"], alone.model.state_dict()["learning.1.weight"])
    assert not torch.equal(Sums().batch(3)[0], Sums().batch(3 + PROCESS_STRIDE)[0])
