"""Rendering: the committed model and the checkpoint's manifest become one read-only repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from vita_runtime.errors import StartupError
from vita_runtime.launcher.repository import COMPONENTS, render, render_config

from tests.stack import ROOT

pytestmark = pytest.mark.unit

CONFIG = """name: "llm"
input [ { name: "EMBEDDINGS" data_type: TYPE_FP16 dims: [ -1, -1 ] optional: true } ]
output [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "model_repo" / "llm"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text("value = 1\n")
    return tmp_path / "model_repo"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint" / "llm"
    folder.mkdir(parents=True)
    manifest = {
        "component": "llm",
        "model": "tiny",
        "version": "7",
        "config": {"hidden": 384},
        "contract": {"embedding_space": "abc"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "checkpoint"


def rendered(source: Path, checkpoint: Path, target: Path) -> Path:
    render("llm", source, checkpoint, target, device="cpu", settings={"threads": "1"})
    return target / "llm"


def test_the_manifest_fills_in_widths_weights_and_tags(source: Path, checkpoint: Path, tmp_path: Path) -> None:
    config = (rendered(source, checkpoint, tmp_path / "out") / "config.pbtxt").read_text()
    assert "dims: [ -1, 384 ]" in config
    for key, value in {
        "weights": str(checkpoint / "llm"),
        "device": "cpu",
        "threads": "1",
        "model_version": "7",
        "contract_embedding_space": "abc",
    }.items():
        assert f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' in config


def test_it_is_compiled_and_read_only(source: Path, checkpoint: Path, tmp_path: Path) -> None:
    model = rendered(source, checkpoint, tmp_path / "out")
    assert list((model / "1" / "__pycache__").glob("model.*.pyc"))
    writable = [path for path in (model, *model.rglob("*")) if os.stat(path).st_mode & 0o222]
    assert writable == []


def test_rendering_again_starts_afresh(source: Path, checkpoint: Path, tmp_path: Path) -> None:
    rendered(source, checkpoint, tmp_path / "out")
    (source / "llm" / "1" / "model.py").write_text("value = 2\n")
    assert (rendered(source, checkpoint, tmp_path / "out") / "1" / "model.py").read_text() == "value = 2\n"


def test_on_a_gpu_the_instances_are_there() -> None:
    assert "kind: KIND_GPU" in render_config(CONFIG, 384, "cuda:1", {})


def test_what_is_quoted_stays_quoted() -> None:
    assert r'string_value: "a \"b\" \\"' in render_config("", None, "cpu", {"x": 'a "b" \\'})


def test_a_missing_checkpoint_names_the_file_and_the_cure(source: Path, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"nowhere/llm/manifest\.json is missing; .*random_checkpoint"):
        rendered(source, tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "is not a manifest"), ("{}", "is not a manifest"), ('{"component": "x", "config": 1}', "is not a manifest")],
)
def test_a_broken_manifest_is_one_line(source: Path, checkpoint: Path, tmp_path: Path, text: str, problem: str) -> None:
    (checkpoint / "llm" / "manifest.json").write_text(text)
    with pytest.raises(StartupError, match=problem):
        rendered(source, checkpoint, tmp_path / "out")


def test_another_components_checkpoint_is_refused(source: Path, checkpoint: Path, tmp_path: Path) -> None:
    file = checkpoint / "llm" / "manifest.json"
    file.write_text(file.read_text().replace('"component": "llm"', '"component": "codec_decoder"'))
    with pytest.raises(StartupError, match="belongs to 'codec_decoder', not to 'llm'"):
        rendered(source, checkpoint, tmp_path / "out")


def test_every_component_has_a_model_without_sizes() -> None:
    for component in COMPONENTS:
        config = (ROOT / "model_repo" / component / "config.pbtxt").read_text()
        assert f'name: "{component}"' in config
        assert "parameters" not in config
