"""What the voice is learnt from, where the data are not the small world's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from vita_training.data.json_source import write_json
from vita_training.data.sample import Sample, Utterance
from vita_training.recipe.errors import RecipeError
from vita_training.speaking.clauses import cut, words
from vita_training.speaking.codec import Codec
from vita_training.speaking.examples import Example, ExampleMaker
from vita_training.speaking.material import material_of, sound_of
from vita_training.speaking.recordings import read_recordings

from tests.training.small_sets import Listed, heard
from tests.training.test_speaking_lessons import SMALL_CODEC
from vita15.config import SAMPLES_PER_CODE
from vita15.tokenizer import Tokenizer, byte_level_tokenizer

pytestmark = pytest.mark.unit

SUBFRAMES = 2
TOKENIZER = Tokenizer(byte_level_tokenizer(512))


def voice(folder: Path, count: int = 30) -> Path:
    write_json(Listed([heard(i, "", "speech") for i in range(count)]), count, folder / "speech.json")
    return folder


def maker(vocabulary: object) -> ExampleMaker:
    torch.manual_seed(0)
    assert isinstance(vocabulary, list)
    return ExampleMaker(Codec(SMALL_CODEC).requires_grad_(False), TOKENIZER, vocabulary)


def drawn(data: Path, numbers: range) -> list[Example]:
    material = material_of(str(data), maker, SUBFRAMES, batch_length=300, seed=0)
    return [example for number in numbers for example in material.examples.batch(number)]


def test_a_recorded_voice_is_drawn_again_to_the_bit_in_any_order(tmp_path: Path) -> None:
    data = voice(tmp_path)
    forth, back = drawn(data, range(20)), drawn(data, range(19, -1, -1))
    assert len(forth) == len(back)
    codes = sorted(example.codes.tolist() for example in forth)
    assert codes == sorted(example.codes.tolist() for example in back)
    assert all(example.spoken.shape == (len(example.codes) + 1, 2) for example in forth)
    crops, judged = sound_of(str(data), 0, 4)
    assert torch.equal(crops.batch(7), sound_of(str(data), 0, 4)[0].batch(7))
    assert not torch.equal(crops.batch(7), crops.batch(8))
    assert len(judged) == 1


def test_a_recording_of_any_rate_is_learnt_at_24_khz_with_its_words_in_order(tmp_path: Path) -> None:
    data = voice(tmp_path, 2)
    soundfile.write(tmp_path / "audio/speech-0-0.wav", np.zeros((44_100, 2), np.float32), 44_100)
    recordings = read_recordings(str(data))
    assert recordings is not None
    spoken = {r.text: r.spoken() for r in recordings.train}
    assert len(spoken["hello."].samples) == 24_000
    said = spoken["what color is the star?"]
    assert [at for at, _ in said.word_starts] == [0, 5, 11, 14, 18]
    times = [s for _, s in said.word_starts]
    assert times == sorted(times)
    assert times[-1] < len(said.samples) / 24_000


def test_a_voice_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    write_json(Listed([replace(heard(0, "...", "speech"), audio=heard(2, "", "x").audio)]), 1, tmp_path / "speech.json")
    text = (tmp_path / "speech.json").read_text().replace("Stop.", "…")
    (tmp_path / "speech.json").write_text(text)
    with pytest.raises(RecipeError, match="nothing is said"):
        read_recordings(str(tmp_path))


def test_without_recordings_espeak_says_what_the_assistant_says_in_the_files(tmp_path: Path) -> None:
    turns = (Utterance("human", "Und?"), Utterance("gpt", "Das ist ein Stern, über 9 Kreisen. …"))
    write_json(Listed([Sample("a", "talks", turns)]), 1, tmp_path / "talks.json")
    examples = drawn(tmp_path / "talks.json", range(8))
    assert examples
    assert all(int(example.spoken.max()) < len(example.tokens) for example in examples)
    assert all(bool((example.spoken[:, 0] <= example.spoken[:, 1]).all()) for example in examples)
    crops, judged = sound_of(str(tmp_path), 0, 2)
    assert crops.batch(0).shape == (2, 36 * SAMPLES_PER_CODE)
    assert judged == []


def test_words_of_any_script_are_words_and_marks_are_not() -> None:
    assert words("Über 9 Kreise, it's 你好!") == ["über", "9", "kreise", "it's", "你好"]
    assert cut("…") == []
