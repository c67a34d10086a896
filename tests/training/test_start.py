"""A stage starts from a ready checkpoint, and what it trained is exported beside what stayed."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from vita_training.recipe import __main__ as recipe
from vita_training.recipe import export
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.stages import STAGES, narrowed
from vita_training.recipe.start import Start

from tests.training.small_sets import write_sets
from tests.training.test_recipe import SMALL
from tests.training.test_speaking_lessons import SMALL_CODEC, SMALL_DECODER
from vita15.checkpoint import load_manifest, load_state, save_component
from vita15.config import VitaConfig
from vita15.random_checkpoint import write_random_checkpoint

pytestmark = pytest.mark.unit

READY = replace(SMALL, speech_decoder=replace(SMALL_DECODER, text_vocab=512), codec_decoder=SMALL_CODEC)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of all five components."""
    folder = tmp_path_factory.mktemp("ready")
    write_random_checkpoint(READY, 0, folder)
    return folder


def some_of(ready: Path, folder: Path, *components: str) -> Path:
    """A checkpoint of some components only."""
    for component in components:
        shutil.copytree(ready / component, folder / component)
    return folder


def command(monkeypatch: pytest.MonkeyPatch, module: object, *words: object) -> None:
    """Run a command as an operator does."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
    module.main()  # type: ignore[attr-defined]


class Operator:
    """Runs the recipe's commands in one folder, upon one checkpoint."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, start: Path, folder: Path, data: Path) -> None:
        self._patch, self._start, self._folder, self._data = monkeypatch, start, folder, data

    def teach(self, stage: str, *more: object) -> None:
        words = (stage, "--start", self._start, "--folder", self._folder, "--data", self._data, "--steps", 2)
        command(self._patch, recipe, *words, "--batch-length", 60, "--no-compile", *more)

    def export(self, out: Path) -> None:
        words = ("--start", self._start, "--folder", self._folder, "--out", out, "--version", "5")
        command(self._patch, export, *words)


def test_one_component_is_taught_again_and_fits_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, ready: Path, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(monkeypatch, ready, tmp_path / "run", sets)
    operator.teach("2.2", "--only", "speech_encoder")
    operator.export(tmp_path / "out")
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["speech_encoder"]
    made, before = load_manifest(tmp_path / "out/speech_encoder"), load_manifest(ready / "speech_encoder")
    assert (made.contract, made.config, made.licence) == (before.contract, before.config, before.licence)
    assert made.version == "5"
    assert f"llm 1 ({load_manifest(ready / 'llm').weights.sha256[:8]})" in made.training_run
    ours, theirs = (load_state(folder / "speech_encoder") for folder in (tmp_path / "out", ready))
    changed = {name.split(".")[0] for name, tensor in ours.items() if not torch.equal(tensor, theirs[name])}
    assert changed == {"adapter", "prompt"}
    assert "fits the checkpoint, beside its version 1" in capsys.readouterr().out


def test_a_language_model_taught_alone_keeps_its_text_table_and_so_its_embedding_space(
    monkeypatch: pytest.MonkeyPatch, ready: Path, sets: Path, tmp_path: Path
) -> None:
    operator = Operator(monkeypatch, ready, tmp_path / "run", sets)
    operator.teach("2.2", "--only", "llm")
    operator.export(tmp_path / "out")
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["llm"]
    assert load_manifest(tmp_path / "out/llm").contract == load_manifest(ready / "llm").contract
    ours, theirs = (load_state(folder / "llm") for folder in (tmp_path / "out", ready))
    same = {name for name, tensor in ours.items() if torch.equal(tensor, theirs[name])}
    assert "model.embed_tokens.weight" in same
    assert "lm_head.weight" not in same


def test_components_taught_together_get_an_embedding_space_of_their_own(
    monkeypatch: pytest.MonkeyPatch, ready: Path, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(monkeypatch, ready, tmp_path / "run", sets)
    operator.teach("2.2")
    operator.export(tmp_path / "out")
    spaces = {load_manifest(folder).contract["embedding_space"] for folder in (tmp_path / "out").iterdir()}
    assert len(spaces) == 1
    assert spaces != {load_manifest(ready / "llm").contract["embedding_space"]}
    assert len([*(tmp_path / "out").iterdir()]) == 3
    assert "rolled out together" in capsys.readouterr().out


def test_a_speech_decoder_is_taught_again_for_the_codec_that_is_served(
    monkeypatch: pytest.MonkeyPatch, ready: Path, sets: Path, tmp_path: Path
) -> None:
    operator = Operator(monkeypatch, ready, tmp_path / "run", sets)
    operator.teach("3.1", "--batch-length", 2)
    operator.teach("3.2")
    operator.export(tmp_path / "out")
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["speech_decoder"]
    before = load_manifest(ready / "speech_decoder")
    assert load_manifest(tmp_path / "out/speech_decoder").contract == before.contract
    assert set(load_file(tmp_path / "run/3.1/snapshot.safetensors")).isdisjoint({"model.decoder.embedding.weight"})
    ours, theirs = (load_state(folder / "speech_decoder") for folder in (tmp_path / "out", ready))
    moved = max(float((tensor - theirs[name]).abs().max()) for name, tensor in ours.items())
    assert 0 < moved < 0.02  # two steps from where it was, not drawn anew


def test_a_tower_and_a_language_model_are_what_the_first_stage_needs(
    monkeypatch: pytest.MonkeyPatch, ready: Path, sets: Path, tmp_path: Path
) -> None:
    start = some_of(ready, tmp_path / "start", "vision_encoder", "llm")
    operator = Operator(monkeypatch, start, tmp_path / "run", sets)
    operator.teach("1.1")
    operator.teach("1.2")  # upon what 1.1 left
    with pytest.raises(SystemExit, match=r"^stage 2\.1b: .*holds no speech_encoder, and stage 2\.1a"):
        operator.teach("2.1b")
    operator.teach("2.1a")
    operator.teach("2.1b")


@pytest.mark.parametrize(
    ("component", "change", "message"),
    [
        ("llm", {"lm_head.weight": torch.zeros(300, 48)}, r"lm_head\.weight is \(300, 48\), and \(512, 48\) in this"),
        ("llm", {"model.spare.weight": torch.zeros(2)}, r"model\.spare\.weight has no place in this configuration"),
        ("vision_encoder", {"tower.embeddings.cls_token": None}, r"holds no vision_encoder with tower\..*stage 0\.1"),
    ],
)
def test_what_does_not_fit_is_named_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
    ready: Path,
    sets: Path,
    tmp_path: Path,
    component: str,
    change: dict[str, torch.Tensor | None],
    message: str,
) -> None:
    start = some_of(ready, tmp_path / "start", "vision_encoder", "llm")
    state = {name: t for name, t in ({**load_state(start / component), **change}).items() if t is not None}
    assert state.keys() != load_state(start / component).keys() or "lm_head.weight" in change
    manifest = load_manifest(start / component)
    save_component(
        start / component,
        component,
        manifest.component_config(),  # type: ignore[arg-type] - one of the configurations
        state,
        contract=manifest.contract,
        licence=manifest.licence,
        training_run="",
        tokenizer=start / "llm/tokenizer.json" if component == "llm" else None,
    )
    with pytest.raises(SystemExit, match=message) as stopped:
        Operator(monkeypatch, start, tmp_path / "run", sets).teach("1.1")
    assert "\n" not in str(stopped.value)


def test_a_checkpoint_of_other_widths_is_told_before_anything_is_loaded(ready: Path, tmp_path: Path) -> None:
    wider = replace(SMALL, llm=replace(SMALL.llm, hidden=64))
    with pytest.raises(RecipeError, match="vision_encoder gives 48 values a token, the llm takes 64"):
        Start.open(some_of(ready, tmp_path / "tower", "vision_encoder")).config(wider)
    fitted = Start.open(some_of(ready, tmp_path / "llm", "llm")).config(VitaConfig("new"))
    assert fitted.vision_encoder.embed == fitted.speech_encoder.embed == SMALL.llm.hidden
    with pytest.raises(RecipeError, match="holds none of vision_encoder"):
        Start.open(tmp_path / "nowhere")


def test_a_folder_begins_from_one_checkpoint_only(
    monkeypatch: pytest.MonkeyPatch, ready: Path, sets: Path, tmp_path: Path
) -> None:
    Operator(monkeypatch, ready, tmp_path / "run", sets).teach("2.3")
    other = some_of(ready, tmp_path / "other", "llm", "speech_encoder")
    with pytest.raises(SystemExit, match="began from another checkpoint"):
        Operator(monkeypatch, other, tmp_path / "run", sets).teach("2.2")
    with pytest.raises(SystemExit, match="began with --start"):
        command(monkeypatch, recipe, "2.3", "--folder", tmp_path / "run", "--data", sets)
    (tmp_path / "fresh/2.3").mkdir(parents=True)
    save_file({}, tmp_path / "fresh/2.3/snapshot.safetensors")
    with pytest.raises(SystemExit, match="began without a checkpoint"):
        Operator(monkeypatch, ready, tmp_path / "fresh", sets).teach("2.2")


def test_a_stage_that_began_here_must_be_finished_first(
    monkeypatch: pytest.MonkeyPatch, ready: Path, sets: Path, tmp_path: Path
) -> None:
    operator = Operator(monkeypatch, ready, tmp_path / "run", sets)
    operator.teach("1.1")
    snapshot = tmp_path / "run/1.1/snapshot.safetensors"
    save_file(load_file(snapshot), snapshot, {"progress": '{"step": 1}'})
    with pytest.raises(SystemExit, match=r"stage 1\.1 has begun here and is not finished"):
        operator.teach("1.2")


def test_a_stage_that_trains_nothing_of_a_component_says_what_it_trains() -> None:
    assert set(narrowed(STAGES["2.2"], "llm").trains) == {"llm.model.layers", "llm.model.norm", "llm.lm_head"}
    with pytest.raises(RecipeError, match=r"2\.3 trains nothing of llm; it trains speech\.turn_end"):
        narrowed(STAGES["2.3"], "llm")


def test_less_than_the_tables_rates_can_be_asked_for() -> None:
    whole, gentle = Schedule(steps=100), Schedule(steps=100, peak=0.3)
    assert [gentle.rate(step) for step in range(100)] == pytest.approx([0.3 * whole.rate(step) for step in range(100)])
