"""The held-out set is what it says."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
from vita_evaluation.offline import read_wav
from vita_evaluation.question_set import HELD_OUT, load_questions

from vita15.images import load_picture

pytestmark = pytest.mark.unit


def test_the_held_out_set_has_twenty_readable_questions_about_twenty_pictures() -> None:
    questions = load_questions(HELD_OUT)
    assert len(questions) == len({question.picture for question in questions}) == 20
    for question in questions:
        assert len(read_wav(question.wav)) > 8000
        assert question.picture is not None
        assert load_picture(question.picture.read_bytes()).width >= 96  # the smallest that the world paints


def test_the_held_out_set_is_small_enough_to_commit() -> None:
    assert sum(path.stat().st_size for path in HELD_OUT.iterdir()) < 3_200_000  # noise does not pack well


def test_a_wav_of_another_rate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 100)
    with pytest.raises(ValueError, match="8000"):
        read_wav(path)
