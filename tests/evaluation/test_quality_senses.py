"""Transcription, turn ends and the voice are measured as they are served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from vita_evaluation.offline import Assistant
from vita_evaluation.quality.hearing import load_speech_encoder, transcribe, word_errors
from vita_evaluation.quality.material import Material
from vita_evaluation.quality.speaking import Speaker, heard_as_another
from vita_evaluation.quality.stack import spoken_clauses
from vita_evaluation.quality.turn_ends import finished_over_time, is_waiting
from vita_training.world.prompt import SYSTEM_PROMPT

from vita15 import transcription
from vita15.config import SAMPLES_PER_CODE, TINY
from vita15.llm import load_llm
from vita15.random_checkpoint import write_random_checkpoint
from vita15.speech_stream import SpeechEncoderStream

pytestmark = pytest.mark.unit

SOUND = (np.random.default_rng(3).standard_normal(16_000) * 3000).astype(np.int16)
VOICE, SILENCE = 0.9, 0.01


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder: Path = tmp_path_factory.mktemp("checkpoint")
    speech = replace(TINY.speech_encoder, prompt_count=4, turn_end_hidden=8)
    decoder = replace(TINY.speech_decoder, max_codes=30)
    write_random_checkpoint(replace(TINY, speech_encoder=speech, speech_decoder=decoder), 0, folder)
    return Material(folder, folder / "training", is_quick=True)


def test_the_engines_write_down_what_the_modules_do(material: Material) -> None:
    speech, assistant = load_speech_encoder(material), Assistant(material.checkpoint)
    assert speech.prompt is not None
    samples = torch.from_numpy(SOUND.astype(np.float32) / 32768)
    llm = load_llm(material.checkpoint / "llm")
    said = transcription.transcribe(speech, llm, assistant.tokenizer, samples, system=SYSTEM_PROMPT, mode="stream")
    (written,) = assistant.hold([transcribe(assistant, speech.prompt.weight, assistant.hear(SOUND))])
    # What may be chosen differs: an engine never writes marks. Up to the first, both are the same.
    assert written[:4] == said[:4] != ""


def test_word_errors_are_counted_over_what_is_said() -> None:
    assert word_errors("Remember the number 5.", "remember the number five") == 0
    assert word_errors("What is it?", "") == 3
    assert word_errors("What is it?", "what was it now") == 2


def test_whether_a_sentence_is_finished_is_known_as_soon_as_the_stream_knows_it(material: Material) -> None:
    speech = load_speech_encoder(material)
    sound = torch.from_numpy(SOUND.astype(np.float32) / 32768)
    known = finished_over_time(speech, SOUND)
    assert len(known) == 5
    for seconds, finished in known:
        stream, end = SpeechEncoderStream(speech), round(seconds * 16_000)
        stream.push(sound[: end - 1])
        before = stream.finished
        stream.push(sound[end - 1 : end])
        assert stream.finished == pytest.approx(finished, abs=1e-5)
        assert before is None or before != stream.finished


def test_the_ear_waits_for_an_unfinished_sentence_and_not_for_a_finished_one() -> None:
    voice = [VOICE] * 30 + [SILENCE] * 37  # 1.2 s of silence
    assert not is_waiting(voice, [])
    assert not is_waiting(voice, [(0.2, 0.1), (1.2, 0.9)])
    assert is_waiting(voice, [(0.2, 0.9), (1.2, 0.1)])
    assert not is_waiting(voice, [(0.2, 0.9), (1.6, 0.1)])  # known too late


def test_a_clause_is_spoken_alone_as_among_others(material: Material) -> None:
    speaker = Speaker(material.checkpoint)
    first, second = speaker.speak(["the star is red", "it is on the left"])
    (alone,) = speaker.speak(["the star is red"])
    assert np.array_equal(first.sound, alone.sound)
    assert not np.array_equal(first.sound, second.sound)
    assert len(first.sound) % SAMPLES_PER_CODE == 0
    assert first.is_ended == (len(first.sound) < 30 * SAMPLES_PER_CODE)


def test_the_control_counts_sounds_heard_as_another_text() -> None:
    texts = ["it is red", "it is blue", "it is red"]
    assert heard_as_another(texts, texts).value == 0.0
    assert heard_as_another(texts, ["it is red"] * 3).value == 0.5  # the third and the first are the same text


def test_an_answer_is_spoken_clause_by_clause_as_the_orchestrator_cuts_it() -> None:
    assert spoken_clauses("Yes, it is. It is 14:05.") == ["yes, it is.", "it is fourteen oh five."]
