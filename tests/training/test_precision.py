"""Frozen weights may be halves and keep less of their forward pass; what learns is as exact as ever."""

from __future__ import annotations

import dataclasses
import random
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from vita_training.data.sample import Sample, Utterance
from vita_training.recipe.alignment import ctc
from vita_training.recipe.answering import AnsweringLesson
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.freezing import freeze, is_within
from vita_training.recipe.loop import run
from vita_training.recipe.rows import Splicer
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.stages import STAGES, narrowed, starts_from
from vita_training.recipe.start import Start
from vita_training.recipe.teach import PART, Setting, lesson_of, load_assistant

from tests.training.small_sets import spoken, write_sets
from tests.training.test_recipe import SMALL
from vita15.random_checkpoint import write_random_checkpoint
from vita15.tokenizer import Tokenizer, byte_level_tokenizer

pytestmark = pytest.mark.unit

GENTLE = Schedule(steps=2, peak=1e-3)  # of the rates: steps that a half would round away


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ready")
    write_random_checkpoint(SMALL, 0, folder)
    return folder


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory, ready: Path) -> Setting:
    """From a ready checkpoint, frozen weights as bfloat16."""
    folder = tmp_path_factory.mktemp("halved")
    data, tokenizer = str(write_sets(folder / "sets")), Tokenizer(byte_level_tokenizer(512))
    start = Start.open(ready)
    return Setting(SMALL, tokenizer, folder, data=data, batch_length=60, dtype=torch.bfloat16, start=start)


@pytest.mark.parametrize("name", STAGES)
def test_what_is_trained_moves_by_small_steps_beside_frozen_halves(name: str, halved: Setting, tmp_path: Path) -> None:
    ours, stage = dataclasses.replace(halved, folder=tmp_path), STAGES[name]
    before = load_assistant(ours, starts_from(stage), stage.trains).state_dict()
    lesson = lesson_of(stage, ours)
    run(lesson, GENTLE, tmp_path / name)
    for key, parameter in lesson.model.get_submodule(PART).named_parameters():
        is_trained = is_within(key, stage.trains)
        assert parameter.dtype == (torch.float32 if is_trained else torch.bfloat16), key
        moved = (parameter != before[key]).float().mean().item()
        if not is_trained:
            assert moved == 0, key
        elif parameter.dim() == 2 and "embed_tokens" not in key:
            assert moved > 0.5, key


def test_trained_weights_start_with_all_the_digits_of_the_checkpoint(halved: Setting, ready: Path) -> None:
    exact = load_assistant(dataclasses.replace(halved, dtype=torch.float32), starts_from(STAGES["1.2"]))
    mixed = load_assistant(halved, starts_from(STAGES["1.2"]), STAGES["1.2"].trains)
    assert torch.equal(mixed.llm.lm_head.weight, exact.llm.lm_head.weight)
    assert mixed.speech.adapter.conv.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["0.1", "2.1a", "2.3"])
def test_halves_are_judged_as_they_are_taught(name: str, halved: Setting) -> None:
    lesson = lesson_of(STAGES[name], halved)
    if name != "2.3":  # which has frozen parts itself
        lesson.model.get_submodule(PART).bfloat16()
    lesson.development = [lesson.batch(0)]  # type: ignore[attr-defined]
    lesson.model.eval()
    with torch.no_grad():
        assert lesson.judge()


def note(calls: list[str], module: nn.Module, _: object) -> None:
    calls.append(type(module).__name__)


@pytest.mark.parametrize(("name", "repeated"), [("1.1", "llm"), ("2.1b", "llm"), ("1.2", "tower")])
def test_checkpointing_computes_frozen_layers_again_where_a_gradient_runs_through_them(
    name: str, repeated: str, halved: Setting
) -> None:
    losses: list[torch.Tensor] = []
    for is_checkpointed in (False, True):
        ours = dataclasses.replace(halved, is_checkpointed=is_checkpointed, dtype=torch.float32)
        lesson = lesson_of(STAGES[name], ours)
        freeze(lesson.model, lesson.rates)
        assistant = lesson.model.get_submodule(PART)
        assert isinstance(assistant, Assistant)
        layers = assistant.llm.model.layers if repeated == "llm" else assistant.vision.tower.encoder.layer
        calls: list[str] = []
        inner = next(layers[0].children())
        inner.register_forward_pre_hook(partial(note, calls))
        torch.manual_seed(0)
        loss, _ = lesson.loss(lesson.batch(0))
        loss.backward()
        losses.append(loss.detach())
        assert len(calls) == (2 if is_checkpointed else 1)
    assert torch.equal(*losses)


def test_a_frozen_layer_that_is_computed_again_drops_nothing_out() -> None:
    class Layer(GradientCheckpointingLayer):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.5)

    plain, repeated = Layer(), Layer()
    repeated.gradient_checkpointing = True
    freeze(nn.ModuleList([plain, repeated]), ())
    assert repeated.training
    assert not any(module.training for module in (plain, plain.dropout, repeated.dropout))


def test_a_batch_that_teaches_nothing_of_what_is_trained_is_a_step_like_any_other(
    halved: Setting, tmp_path: Path
) -> None:
    lesson = lesson_of(narrowed(STAGES["1.3"], "vision_encoder"), dataclasses.replace(halved, dtype=torch.float32))
    assert isinstance(lesson, AnsweringLesson)
    splicer = Splicer(halved.tokenizer, SMALL)
    typed = Sample("typed", "tests", (Utterance("human", "Hi."), Utterance("gpt", "Hello.")))
    rows = [[splicer.conversation(sample, random.Random(0))] for sample in (typed, spoken(0))]
    lesson.batch = lambda number: rows[number]  # type: ignore[method-assign]
    before = {name: tensor.clone() for name, tensor in lesson.model.state_dict().items()}
    run(lesson, Schedule(steps=1), tmp_path / "typed")
    changed = [name for name, tensor in lesson.model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed == []
    rows.reverse()
    assert run(lesson, Schedule(steps=2), tmp_path / "both").step == 2
    assert any(not torch.equal(tensor, before[name]) for name, tensor in lesson.model.state_dict().items())


def test_ctc_has_its_targets_where_the_logits_are(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []

    def noted(logits: torch.Tensor, targets: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        places.extend((logits.device.type, targets.device.type))
        return torch.zeros(())

    monkeypatch.setattr(torch.nn.functional, "ctc_loss", noted)
    ctc(torch.zeros(1, 8, 4, device="meta"), torch.tensor([8]), [[1, 2]])  # as a GPU: not the CPU
    assert places == ["meta", "meta"]
