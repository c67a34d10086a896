"""Transcription, turn ends and the voice are measured as they are served."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from vita_evaluation.offline import Assistant
from vita_evaluation.quality import codec
from vita_evaluation.quality.codec import timbre_distance_db
from vita_evaluation.quality.hearing import load_speech_encoder, transcribe, word_errors
from vita_evaluation.quality.material import Material
from vita_evaluation.quality.speaking import Speaker, heard_as_another
from vita_evaluation.quality.stack import spoken_clauses
from vita_evaluation.quality.table import BARS
from vita_evaluation.quality.turn_ends import Ear, hearer, known_at, listen
from vita_training.speaking import variants
from vita_training.speaking.codec import Codec
from vita_training.speaking.export import export_codec
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


def test_what_is_heard_from_some_moment_on_is_what_a_stream_knows(material: Material) -> None:
    speech = load_speech_encoder(material)
    sound = torch.from_numpy(SOUND[3200:].astype(np.float32) / 32768)  # from 200 ms on
    known = hearer(speech, SOUND)(200)
    stream, pushed = SpeechEncoderStream(speech), 0
    for chunk, probability in enumerate(known, 1):
        end = (chunk * 160 + 45) * 16
        stream.push(sound[pushed:end])
        pushed = end
        assert stream.heard_ms == chunk * 160
        assert stream.finished == pytest.approx(probability, abs=1e-5)
    assert len(known) == 4


def test_what_the_head_said_before_the_pause_is_not_known_in_it() -> None:
    asked_ms = 160 + 45 + 32  # a chunk, what the encoder looks ahead, a frame for the reply
    assert known_at(asked_ms, asked_ms - 160, [0.9]) == 0.9
    assert known_at(asked_ms - 1, asked_ms, [0.9]) is None
    assert known_at(asked_ms, asked_ms - 161, [0.9]) is None  # there was a voice behind the chunk
    assert known_at(asked_ms + 160, asked_ms - 161, [0.9, 0.1]) is None
    assert known_at(asked_ms + 160, asked_ms - 160, [0.9, 0.1]) == 0.1


def test_the_ear_waits_for_an_unfinished_sentence_and_not_for_a_finished_one() -> None:
    voice = [SILENCE] * 20 + [VOICE] * 30 + [SILENCE] * 37  # 1.2 s of silence

    def heard(begin_ms: int, *, is_finished: bool) -> list[float]:
        assert begin_ms == 20 * 32 - 300
        chunks = (len(voice) * 32 - begin_ms) // 160
        pause = (50 * 32 - begin_ms) // 160  # the first chunk that hears some of it
        return [float(is_finished == (chunk >= pause)) for chunk in range(chunks)]

    assert listen(voice) is Ear.CLOSED
    assert listen(voice, partial(heard, is_finished=True)) is Ear.CLOSED
    assert listen(voice, partial(heard, is_finished=False)) is Ear.OPEN
    assert listen(voice, lambda begin_ms: []) is Ear.CLOSED  # nothing came in time
    assert listen([SILENCE] * 60) is Ear.DEAF
    assert listen([VOICE] * 60) is Ear.OPEN


def test_a_clause_is_spoken_alone_as_among_others(material: Material) -> None:
    speaker = Speaker(material.checkpoint)
    first, second = speaker.speak(["the star is red", "it is on the left"])
    (alone,) = speaker.speak(["the star is red"])
    assert np.array_equal(first.sound, alone.sound)
    assert not np.array_equal(first.sound, second.sound)
    assert len(first.sound) % SAMPLES_PER_CODE == 0
    assert first.is_ended == (len(first.sound) < 30 * SAMPLES_PER_CODE)


def test_a_sound_whose_spectrum_is_damaged_is_apart_from_itself() -> None:
    sound = torch.randn(48_000, generator=torch.Generator().manual_seed(0)) * 0.1
    assert timbre_distance_db(sound, sound) == 0
    assert timbre_distance_db(sound / 2, sound) == pytest.approx(6.02, abs=0.01)
    assert timbre_distance_db(sound.flip(0), sound) < 0.5  # when something sounds does not matter


def test_the_codec_that_is_judged_is_the_checkpoints_and_a_dull_one_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    whole = Codec(TINY.codec_decoder).requires_grad_(False).eval()

    def encoder_of(folder: Path, snapshot: Path) -> Codec:
        return whole

    monkeypatch.setattr(codec, "_encoder_of", encoder_of)
    dull = deepcopy(whole.decoder)
    dull.load_state_dict(variants.dull(whole.decoder.state_dict(), TINY.codec_decoder))
    found: list[dict[str, float]] = []
    for name, decoder in (("bright", whole.decoder), ("dull", dull)):
        export_codec(decoder, tmp_path / name / "codec_decoder", "a test")
        rows = list(codec.codec(Material(tmp_path / name, tmp_path / "training", is_quick=True)))
        found.append({row.key: row.value.value for row in rows if row.value is not None})
    bright, damaged = found
    assert bright.keys() == {bar.key for bar in BARS if bar.family == "codec"}
    assert abs(bright["codec.timbre"] - damaged["codec.timbre"]) > 3


def test_the_voice_is_judged_by_clauses_that_it_never_learnt(material: Material) -> None:
    clauses = material.new_clauses(170)
    known = {*material.clauses.train, *material.clauses.development}
    assert len(set(clauses)) == 170
    assert not known & set(clauses)
    assert set(material.clauses.held_out) < set(clauses)


def test_the_control_counts_sounds_heard_as_another_text() -> None:
    texts = ["it is red", "it is blue", "it is red"]
    assert heard_as_another(texts, texts).value == 0.0
    assert heard_as_another(texts, ["it is red"] * 3).value == 0.5  # the third and the first are the same text


def test_an_answer_is_spoken_clause_by_clause_as_the_orchestrator_cuts_it() -> None:
    assert spoken_clauses("Yes, it is. It is 14:05.") == ["yes, it is.", "it is fourteen oh five."]
