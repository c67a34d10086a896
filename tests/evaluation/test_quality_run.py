"""A run measures what it can, says what it cannot, and draws what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from vita_evaluation.quality import families
from vita_evaluation.quality.intervals import Interval
from vita_evaluation.quality.material import Material, NotMeasurable, draw
from vita_evaluation.quality.table import Finding
from vita_training.world.sources import text_only

from vita15.config import TINY
from vita15.random_checkpoint import write_random_checkpoint

pytestmark = pytest.mark.unit


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return Material(tmp_path / "checkpoint", tmp_path / "training", is_quick=True)


def test_what_has_no_material_is_not_measured_and_says_why(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: Material) -> Iterator[Finding]:
        yield Finding("codec.stoi", Interval(0.9), 1)
        raise NotMeasurable("the rest is lost")

    monkeypatch.setitem(families.MEASURES, "codec", half)
    stoi, *others = families.measure("codec", material)
    assert stoi.verdict == "met"
    assert {(other.verdict, other.note) for other in others} == {("not measured", "the rest is lost")}


def test_what_fails_is_told_and_nothing_else_suffers(
    material: Material, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Material) -> Iterator[Finding]:
        raise RuntimeError("out of order")
        yield

    monkeypatch.setitem(families.MEASURES, "codec", broken)
    assert {finding.verdict for finding in families.measure("codec", material)} == {"FAILED"}
    assert "out of order" in capsys.readouterr().err


def test_a_checkpoint_without_the_parts_of_stage_2_is_told_so(material: Material) -> None:
    speech = replace(TINY.speech_encoder, prompt_count=0, turn_end_hidden=0)
    write_random_checkpoint(replace(TINY, speech_encoder=speech), 0, material.checkpoint)
    for family, reason in (("hearing", "prompt_count"), ("turns", "turn_end_hidden"), ("codec", "encoder")):
        findings = families.measure(family, material)
        assert {finding.verdict for finding in findings} == {"not measured"}
        assert all(reason in finding.note for finding in findings)


def test_samples_are_drawn_until_there_are_enough() -> None:
    source = text_only(0, is_held_out=True)
    wanted = list(draw(source, 3, "", lambda sample: len(sample.conversations) > 2))
    assert len({sample.id for sample in wanted}) == 3
    assert all(len(sample.conversations) > 2 for sample in wanted)
