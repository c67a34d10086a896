"""The recipe takes the full model's sizes: every stage on two layers of full width, from files in the JSON format."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.run_log import read_log
from vita_training.recipe.snapshot import read_progress
from vita_training.recipe.stages import STAGES
from vita_training.speaking.stages import SPEAKING_SCHEDULES
from vita_training.world.tokenizer import make_tokenizer

from tests.training.small_sets import write_sets

pytestmark = pytest.mark.slow

LAYERS, VOCAB, STEPS = 2, 4096, 1
LARGEST_RSS = 8 << 30  # bytes
LONGEST_S = 300.0
SHORT = {"0.1": 1, "2.1a": 400, "2.3": 400, "3.1": 1}  # tiles, frames and crops a step; positions otherwise
POSITIONS = 200


def write_config(path: Path) -> None:
    """The full model with fewer layers and words."""
    values = {
        "name": "full-width",
        "vision_encoder": {"layers": LAYERS},
        "speech_encoder": {"layers": LAYERS, "prompt_count": 25, "turn_end_hidden": 256},
        "llm": {"layers": LAYERS, "vocab": VOCAB},
        "speech_decoder": {"layers": LAYERS, "pre_layers": 1, "text_vocab": VOCAB},
    }
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.timeout(int(LONGEST_S) + 120)
def test_every_stage_runs_at_full_width_in_eight_gigabytes_and_five_minutes(tmp_path: Path) -> None:
    write_sets(tmp_path / "sets", has_videos=False)
    write_config(tmp_path / "config.json")
    make_tokenizer(VOCAB).save(str(tmp_path / "tokenizer.json"))
    began = time.monotonic()
    for stage in (*STAGES, *SPEAKING_SCHEDULES):
        command = [sys.executable, "-m", "vita_training.recipe", stage, "--config", str(tmp_path / "config.json")]
        command += ["--data", str(tmp_path / "sets"), "--tokenizer", str(tmp_path / "tokenizer.json")]
        command += ["--folder", str(tmp_path / "run"), "--steps", str(STEPS), "--dtype", "bfloat16"]
        command += ["--no-master-weights"]  # which alone would take 8 GB: 16 bytes a trained parameter
        command += ["--batch-length", str(SHORT.get(stage, POSITIONS)), "--checkpoint-gradients"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"stage {stage}: {done.stderr[-2000:]}"
        assert read_progress(tmp_path / "run" / stage / SNAPSHOT).is_finished
        losses = [line["loss"] for line in read_log(tmp_path / "run" / stage / "log.jsonl")]
        assert len(losses) == STEPS
        assert all(loss > 0 and math.isfinite(loss) for loss in losses), (stage, losses)
    assert time.monotonic() - began < LONGEST_S
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < LARGEST_RSS
