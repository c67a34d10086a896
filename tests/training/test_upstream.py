"""A stage that is taught anew leaves those that stand on it behind, and that is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from vita_training.recipe import export
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import digests
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.stages import STAGES
from vita_training.recipe.teach import Setting, teach
from vita_training.recipe.upstream import check_upstream

from tests.training.small_sets import write_sets
from tests.training.test_asked import command
from tests.training.test_recipe import SMALL
from vita15.tokenizer import Tokenizer, byte_level_tokenizer

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A run in which 2.1a, and upon it 2.3, took a step."""
    folder = tmp_path_factory.mktemp("run")
    sets, vocabulary = write_sets(folder / "sets"), byte_level_tokenizer(512)
    vocabulary.save(str(folder / "tokenizer.json"))
    ours = Setting(SMALL, Tokenizer(vocabulary), folder, data=str(sets), batch_length=400)
    for name in ("2.1a", "2.3"):
        teach(STAGES[name], ours, Schedule(steps=1))
    return ours


def copied(setting: Setting, folder: Path) -> Setting:
    shutil.copytree(setting.folder, folder)
    return replace(setting, folder=folder)


def test_a_stage_taught_anew_in_the_same_way_leaves_nobody_behind(heard: Setting, tmp_path: Path) -> None:
    ours = copied(heard, tmp_path / "run")
    shutil.rmtree(ours.folder / "2.1a")
    with pytest.raises(RecipeError, match=r"stage 2\.3 has begun, and 2\.1a, on which it stands, is not there: remove"):
        check_upstream(ours.folder)
    check_upstream(ours.folder, has_start=True)  # something ready may stand in for it
    teach(STAGES["2.1a"], ours, Schedule(steps=1))
    check_upstream(ours.folder)


def test_a_stage_taught_anew_in_another_way_is_not_exported_with_what_stood_on_it(
    heard: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = copied(heard, tmp_path / "run")
    shutil.rmtree(ours.folder / "2.1a")
    teach(STAGES["2.1a"], replace(ours, seed=1), Schedule(steps=1))
    for has_start in (False, True):
        with pytest.raises(RecipeError, match=r"stage 2\.3 was taught upon another 2\.1a .*: remove .*2\.3 and teach"):
            check_upstream(ours.folder, has_start=has_start)
    with pytest.raises(SystemExit, match=r"stage 2\.3 was taught upon another 2\.1a") as said:
        command(monkeypatch, export, "--folder", ours.folder, "--out", tmp_path / "out", "--version", "1")
    assert "\n" not in str(said.value)
    assert not (tmp_path / "out").exists()


def test_weights_held_in_less_precision_are_the_same_weights(heard: Setting, tmp_path: Path) -> None:
    ours = copied(heard, tmp_path / "run")
    shutil.rmtree(ours.folder / "2.3")
    teach(STAGES["2.3"], replace(ours, dtype=torch.bfloat16), Schedule(steps=1))
    check_upstream(ours.folder)


def write(folder: Path, stage: str, tensors: dict[str, Tensor], frozen: dict[str, Tensor]) -> None:
    """A finished stage that trained some tensors and left others alone."""
    noted: dict[str, str] = {}
    for name, tensor in frozen.items():
        holder = nn.Module()
        holder.register_buffer("held", tensor)
        noted[name] = digests(holder, ())["held"]
    (folder / stage).mkdir(parents=True)
    progress = {"step": 1, "is_finished": True, "frozen": noted}
    stored = {f"model.{name}": tensor for name, tensor in tensors.items()}
    save_file(stored, folder / stage / SNAPSHOT, {"progress": json.dumps(progress)})


def test_the_voice_stands_on_its_codec_and_the_full_models_on_the_text_table(tmp_path: Path) -> None:
    codec, table = torch.randn(4), torch.randn(8, 4).bfloat16()
    taught = {"encoder.weight": codec}
    upon = {"codec.encoder.weight": codec, "decoder.embed_tokens.weight": table.float()}
    language = "assistant.llm.model.embed_tokens.weight"
    cases = [(codec, table, ""), (codec + 1, table, r"another 3\.1"), (codec, table + 1, r"another 0\.2")]
    for number, (codec_now, table_now, message) in enumerate(cases):
        folder = tmp_path / str(number)
        write(folder, "0.2", {language: table_now}, {})
        write(folder, "3.1", {"encoder.weight": codec_now}, {})
        write(folder, "3.2", taught, upon)
        if message:
            with pytest.raises(RecipeError, match=rf"stage 3\.2 was taught upon {message}"):
                check_upstream(folder)
        else:
            check_upstream(folder)
