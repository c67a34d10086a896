"""What a run was asked for is kept with its weights: it goes on as it began, and its manifest tells it."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from vita_training.recipe import __main__ as recipe
from vita_training.recipe import export
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.snapshot import read_progress

from tests.training.small_sets import write_sets
from tests.training.test_recipe import SMALL
from vita15.checkpoint import load_manifest
from vita15.random_checkpoint import write_random_checkpoint
from vita15.tokenizer import byte_level_tokenizer

pytestmark = pytest.mark.unit

SIZES = ("vision_encoder", "speech_encoder", "llm")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"))


def command(monkeypatch: pytest.MonkeyPatch, module: object, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
    module.main()  # type: ignore[attr-defined]


def write_model(folder: Path, name: str) -> tuple[object, ...]:
    """Write sizes and a vocabulary; return the options that name them."""
    sizes = {part: dataclasses.asdict(getattr(SMALL, part)) for part in SIZES}
    (folder / "config.json").write_text(json.dumps({"name": name, **sizes}), encoding="utf-8")
    byte_level_tokenizer(512).save(str(folder / "tokenizer.json"))
    options = ("--config", folder / "config.json", "--tokenizer", folder / "tokenizer.json", "--batch-length", 4)
    return (*options, "--folder", folder / "run", "--no-compile")


def test_only_the_tiny_model_is_taught_for_the_tables_steps(
    monkeypatch: pytest.MonkeyPatch, sets: Path, tmp_path: Path
) -> None:
    options = (*write_model(tmp_path, "mine"), "--data", sets)
    for share in ((), ("--share", 0.1)):
        with pytest.raises(SystemExit, match=r"^stage 0\.1: --steps is needed: .*8000 .*tiny.* not mine's$"):
            command(monkeypatch, recipe, "0.1", *options, *share)
    command(monkeypatch, recipe, "0.1", *options, "--steps", 2)
    assert read_progress(tmp_path / "run/0.1" / SNAPSHOT).step == 2


def test_a_trial_is_not_taken_for_the_whole(monkeypatch: pytest.MonkeyPatch, sets: Path, tmp_path: Path) -> None:
    options = ("0.1", *write_model(tmp_path, "tiny"))
    command(monkeypatch, recipe, *options, "--data", f"{sets}/", "--share", 2 / 8000)
    asked = {"seed": 0, "steps": 2, "rate": 1.0, "accumulation": 1, "data": str(sets)}
    assert read_progress(tmp_path / "run/0.1" / SNAPSHOT).asked == asked
    with pytest.raises(SystemExit, match=r"^stage 0\.1: .*snapshot\.safetensors: steps was 2 and is 8000 now") as said:
        command(monkeypatch, recipe, *options, "--data", sets)
    assert "\n" not in str(said.value)
    command(monkeypatch, recipe, *options, "--data", sets, "--steps", 2)  # finished, and asked for the same


def test_a_manifest_tells_what_its_stages_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, sets: Path, tmp_path: Path
) -> None:
    write_random_checkpoint(replace(SMALL, name="tiny"), 0, tmp_path / "ready")
    start = ("--start", tmp_path / "ready", "--folder", tmp_path / "run")
    teach = (*start, "--data", sets, "--steps", 2, "--batch-length", 60, "--no-compile")
    command(monkeypatch, recipe, "2.1b", *teach, "--seed", 5, "--rate", 0.3)
    command(monkeypatch, recipe, "2.2", "--only", "speech_encoder", *teach, "--seed", 6, "--rate", 0.3)
    command(monkeypatch, export, *start, "--out", tmp_path / "out", "--version", "9")
    told = load_manifest(tmp_path / "out/speech_encoder").training_run
    expected = f"stages 2.1b, 2.2; data {sets}, seed 5 and 6, rate 0.3, accumulation 1: 4 steps, "
    assert told.startswith(expected)
