"""Learning to speak leaves what was learnt before as it was: answers to text and pictures are exactly the same."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from vita_training.data.sample import IMAGE, Picture, Sample, Utterance
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.export import export_assistant
from vita_training.recipe.rows import Splicer
from vita_training.recipe.stages import STAGES
from vita_training.recipe.teach import Setting, teach
from vita_training.speaking.stages import SPEAKING_SCHEDULES, export_speech, teach_speaking
from vita_training.world.sources import captions

from tests.training.small_sets import write_sets
from tests.training.test_start import READY
from vita15.chat_template import ChatTemplate
from vita15.checkpoint import load_into, load_manifest
from vita15.tokenizer import Tokenizer, byte_level_tokenizer

pytestmark = pytest.mark.unit

UNDERSTANDING = ("vision_encoder", "speech_encoder", "llm")
QUESTIONS = ("What color is the star?", "How many things are there?", "Who are you?")
ANSWER_TOKENS = 12


def pictures() -> list[Picture]:
    return [picture for index in range(12) for picture in captions()[index].pictures][:2]


def asked() -> list[Sample]:
    """Every question typed alone, and about each picture."""
    alone = [Sample("t", "asked", (Utterance("human", text),)) for text in QUESTIONS]
    shown = [
        Sample("p", "asked", (Utterance("human", f"{IMAGE}\n{text}"),), (picture,))
        for text in QUESTIONS
        for picture in pictures()
    ]
    return alone + shown


@torch.no_grad()
def greedy_answers(checkpoint: Path, setting: Setting) -> list[list[int]]:
    """What the checkpoint's components answer, token by token."""
    assistant = Assistant(setting.config)
    for module, component in zip((assistant.vision, assistant.speech, assistant.llm), UNDERSTANDING, strict=True):
        load_into(module, checkpoint / component)
    splicer, answers = Splicer(setting.tokenizer, setting.config), list[list[int]]()
    for sample in asked():
        row = splicer.conversation(sample, random.Random(0))
        row.add(ChatTemplate(setting.tokenizer).opening("assistant"))
        said: list[int] = []
        for _ in range(ANSWER_TOKENS):
            ids = torch.tensor([[*row.ids, *said]])
            hidden, _ = assistant.plain_layers(assistant.embeddings([row], ids).rows)
            said.append(int(assistant.llm.lm_head(hidden[0, -1]).argmax()))
        answers.append(said)
    return answers


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A run in which stages 0.1 to 2.3 have taken a few steps each."""
    folder = tmp_path_factory.mktemp("run")
    tokenizer = byte_level_tokenizer(512)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    sets = write_sets(folder / "sets")
    ours = Setting(READY, Tokenizer(tokenizer), folder, data=str(sets), batch_length=60)
    for stage in STAGES.values():
        teach(stage, ours, replace(stage.schedule, steps=2))
    return ours


def export(setting: Setting, out: Path) -> Path:
    export_assistant(setting, setting.folder / "tokenizer.json", out, "1")
    return out


def test_answers_to_text_and_pictures_after_stage_3_are_exactly_those_before(setting: Setting, tmp_path: Path) -> None:
    before = export(setting, tmp_path / "before")
    for stage, schedule in SPEAKING_SCHEDULES.items():
        teach_speaking(stage, replace(setting, batch_length=8 if stage == "3.1" else 200), replace(schedule, steps=4))
    after = export(setting, tmp_path / "after")
    export_speech(setting, setting.folder / "tokenizer.json", after, "1")
    assert len([*after.iterdir()]) == 5
    for component in UNDERSTANDING:
        assert load_manifest(before / component) == load_manifest(after / component)  # the weights' sha256 in it
    answers = greedy_answers(before, setting)
    assert answers == greedy_answers(after, setting)
    assert len({tuple(answer) for answer in answers}) > 2  # they depend on what is asked and shown


def test_a_stage_that_did_change_the_language_model_would_be_seen(setting: Setting, tmp_path: Path) -> None:
    before = export(setting, tmp_path / "before")
    other = replace(setting, seed=1)
    moved = replace(other, folder=tmp_path / "other")
    moved.folder.mkdir()
    shutil.copy(setting.folder / "tokenizer.json", moved.folder)
    for stage in STAGES.values():
        source, target = setting.folder / stage.name, moved.folder / stage.name
        target.mkdir(parents=True)
        if stage.name != "2.2":
            (target / "snapshot.safetensors").write_bytes((source / "snapshot.safetensors").read_bytes())
    teach(STAGES["2.2"], moved, replace(STAGES["2.2"].schedule, steps=4))
    after = export(moved, tmp_path / "after")
    assert load_manifest(before / "llm").weights != load_manifest(after / "llm").weights
    assert greedy_answers(before, setting) != greedy_answers(after, moved)
