"""What speaks is exported under its own model's name, and keeps what it started from promised."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from vita_training.recipe import __main__ as recipe
from vita_training.recipe import export

from tests.training.small_sets import write_sets
from tests.training.test_asked import command
from tests.training.test_start import READY
from vita15.checkpoint import load_manifest
from vita15.config import VitaConfig
from vita15.random_checkpoint import write_random_checkpoint

pytestmark = pytest.mark.unit

PARTS = [field.name for field in dataclasses.fields(VitaConfig) if field.name != "name"]
MINE = replace(READY, name="mine", llm=replace(READY.llm, hidden=64))  # as wide as what its speech decoder reads
MINE = replace(
    MINE,
    vision_encoder=replace(MINE.vision_encoder, embed=64),
    speech_encoder=replace(MINE.speech_encoder, embed=64),
    speech_decoder=replace(MINE.speech_decoder, text_embed=64),
)


def write_start(folder: Path, *components: str) -> Path:
    """A checkpoint of some components, of another licence and in another language."""
    write_random_checkpoint(MINE, 0, folder / "whole")
    for component in components:
        shutil.copytree(folder / "whole" / component, folder / "start" / component)
        path = folder / "start" / component / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest |= {"licence": "CC-BY-4.0", "contract": {**manifest["contract"], "text": "zh-1"}}
        path.write_text(json.dumps(manifest))
    return folder / "start"


@pytest.mark.parametrize(
    ("components", "licence"), [(("llm", "speech_decoder"), "CC-BY-4.0"), (("llm",), "Apache-2.0")]
)
def test_what_speaks_has_its_models_name_and_the_starts_licence_and_language(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, components: tuple[str, ...], licence: str
) -> None:
    sizes = {part: dataclasses.asdict(getattr(MINE, part)) for part in PARTS}
    (tmp_path / "config.json").write_text(json.dumps({"name": "mine", **sizes}))
    options = ("--start", write_start(tmp_path, *components), "--config", tmp_path / "config.json")
    options = (*options, "--folder", tmp_path / "run")
    for stage, length in (("3.1", 2), ("3.2", 60)):
        data = ("--data", write_sets(tmp_path / "sets"), "--steps", 2, "--batch-length", length, "--no-compile")
        command(monkeypatch, recipe, stage, *options, *data)
    command(monkeypatch, export, *options, "--out", tmp_path / "out", "--version", "4")
    codec, decoder = (load_manifest(tmp_path / "out" / name) for name in ("codec_decoder", "speech_decoder"))
    assert (codec.model, decoder.model) == ("mine", "mine")
    assert codec.contract["codebook"].startswith("mine-")
    assert decoder.contract == {"codebook": codec.contract["codebook"], "text": "zh-1"}
    assert (codec.licence, decoder.licence) == ("Apache-2.0", licence)


def test_a_version_must_be_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(monkeypatch, export, "--folder", tmp_path, "--out", tmp_path / "out")
    assert "required: --version" in capsys.readouterr().err
