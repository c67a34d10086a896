"""Under `torchrun` the loop's processes teach one model, each from batches of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from vita_training.recipe.loop import PROCESS_STRIDE, SNAPSHOT, Lesson, run
from vita_training.recipe.run_log import read_log
from vita_training.speaking.codec import DEAD_COUNT, CodebookMeans, Codec
from vita_training.speaking.codec_lesson import CodecLesson
from vita_training.speaking.corpus import Crops

from tests.stack import ROOT
from tests.training.test_loop import SCHEDULE, Sums
from tests.training.test_speaking_lessons import SMALL_CODEC, buzz

pytestmark = pytest.mark.slow

SCRIPT = """
import os, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from tests.training.test_processes import CODEBOOKS, LESSONS, SCHEDULE
from vita_training.recipe.loop import run
torch.set_num_threads(1)
lesson, folder = LESSONS[sys.argv[1]](), Path(sys.argv[2])
run(lesson, SCHEDULE, folder)
seen = {f"codebook after {step}": codebook for step, codebook in enumerate(CODEBOOKS)}
save_file({**lesson.model.state_dict(), **seen}, folder / f"rank{os.environ['RANK']}.safetensors")
"""
CODEBOOKS: list[Tensor] = []  # of this process, after each step in which it was followed


class CountingMeans(CodebookMeans):
    """Counts the rows that were moved onto fresh vectors: all that the first batch gives nothing to."""

    moved: Tensor

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__(codebook_size, dim)
        self.register_buffer("moved", torch.zeros((), dtype=torch.int64))

    def start(self, vectors: Tensor, codebook: Tensor) -> None:
        super().start(vectors, codebook)
        self.counts.fill_(DEAD_COUNT)
        self.sums.copy_(codebook * DEAD_COUNT)

    def follow(self, vectors: Tensor, rows: Tensor, codebook: Tensor) -> None:
        super().follow(vectors, rows, codebook)
        self.moved += (self.counts == 1.0).sum()  # what a row that was just moved counts
        CODEBOOKS.append(codebook.clone())


def sparse_codec() -> CodecLesson:
    """A codec whose codebook has more rows than a batch has vectors to give them, so that some always move."""
    torch.manual_seed(0)
    codec = Codec(replace(SMALL_CODEC, codebook_size=256))
    codec.means = CountingMeans(256, codec.codebook.shape[1])
    return CodecLesson(codec, Crops(buzz(), seed=0, count=1), [], steps=20)  # the codebook is laid at step 2


LESSONS: dict[str, Callable[[], Lesson[Any]]] = {"sums": Sums, "codec": sparse_codec}


def teach_in_two_processes(lesson: str, folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Teach under `torchrun`; return what each process ends with."""
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(folder / "script.py")]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [*command, lesson, str(folder / "run")]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return load_file(folder / "run/rank0.safetensors"), load_file(folder / "run/rank1.safetensors")


def test_two_processes_keep_one_codebook_though_each_sees_other_sound(tmp_path: Path) -> None:
    first, second = teach_in_two_processes("codec", tmp_path)
    assert "codebook after 9" in first
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert first["means.moved"] > 0
    assert not torch.equal(sparse_codec().batch(3), sparse_codec().batch(3 + PROCESS_STRIDE))


def test_two_processes_end_with_one_model_that_both_taught(tmp_path: Path) -> None:
    first, second = teach_in_two_processes("sums", tmp_path)
    assert all(torch.equal(first[name], second[name]) for name in first if name != "means.weight")
    log = read_log(tmp_path / "run/log.jsonl")
    assert [line["step"] for line in log] == [*range(1, 13), 12]  # one process writes

    alone = Sums()
    run(alone, SCHEDULE, tmp_path / "alone")
    theirs = load_file(tmp_path / "run" / SNAPSHOT)
    assert not torch.equal(theirs["model.learning.1.weight"], alone.model.state_dict()["learning.1.weight"])
    assert not torch.equal(Sums().batch(3)[0], Sums().batch(3 + PROCESS_STRIDE)[0])
