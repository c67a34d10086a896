"""Checkpoints come back as they were written, and a wrong one is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vita15.checkpoint import (
    load_into,
    load_manifest,
    load_state,
    save_component,
    tokenizer_path,
)
from vita15.config import TINY
from vita15.errors import CheckpointError
from vita15.vision_encoder import VisionEncoder

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path, tokenizer_file: Path) -> Path:
    torch.manual_seed(0)
    save_component(
        tmp_path / "c",
        "vision_encoder",
        TINY.vision_encoder,
        VisionEncoder(TINY.vision_encoder).state_dict(),
        contract={"embedding_space": "a"},
        licence="Apache-2.0",
        training_run="test",
        tokenizer=tokenizer_file,
    )
    return tmp_path / "c"


def edit(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_manifest_comes_back(folder: Path) -> None:
    manifest = load_manifest(folder)
    assert manifest.component == "vision_encoder"
    assert manifest.component_config() == TINY.vision_encoder
    assert manifest.contract == {"embedding_space": "a"}
    assert (manifest.weights.file, manifest.weights.dtype) == ("model.safetensors", "float16")
    assert tokenizer_path(folder) == folder / "tokenizer.json"


def test_weights_come_back_in_float32_within_half_precision(folder: Path) -> None:
    torch.manual_seed(0)
    original = VisionEncoder(TINY.vision_encoder).state_dict()
    for name, tensor in load_state(folder).items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, original[name], atol=1e-4, rtol=1e-3)


def test_a_module_is_filled_and_ready(folder: Path) -> None:
    encoder = load_into(VisionEncoder(TINY.vision_encoder), folder)
    assert not encoder.training
    assert torch.equal(encoder.projector[0].weight, load_state(folder)["projector.0.weight"])


def test_a_module_of_fewer_bits_can_be_had_and_trained_on(folder: Path) -> None:
    encoder = load_into(VisionEncoder(TINY.vision_encoder), folder, dtype=torch.bfloat16)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.bfloat16}
    assert all(weight.requires_grad for weight in encoder.parameters())


def test_weights_that_were_changed_are_refused(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="sha256"):
        load_state(folder)


def test_a_tokenizer_that_was_changed_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="sha256"):
        tokenizer_path(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"projector\.2"):
        load_into(torch.nn.Linear(2, 2), folder)


@pytest.mark.parametrize(
    "values",
    [
        {"component": "liver"},
        {"config": {"tile_px": 112, "colour": 1}},
        {"format": "0"},
        {"weights": {"file": "../../etc/passwd", "sha256": ""}},
        {"weights": {"file": "..", "sha256": ""}},
        {"weights": {"name": "model.safetensors"}},
        {"surprise": 1},
        {"version": 1},
        {"contract": {"embedding_space": 3}},
        {"contract": "a"},
        {"weights": None},
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, values: dict[str, object]) -> None:
    edit(folder, **values)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        load_manifest(folder)


def test_a_missing_or_broken_manifest_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError):
        load_manifest(folder)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(CheckpointError):
        load_manifest(folder)
    with pytest.raises(CheckpointError):
        load_manifest(folder / "nowhere")


def test_a_component_without_a_tokenizer_says_so(folder: Path) -> None:
    edit(folder, tokenizer=None)
    with pytest.raises(CheckpointError, match="no tokenizer"):
        tokenizer_path(folder)
