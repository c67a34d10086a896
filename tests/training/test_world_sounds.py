"""What is heard in the small world: takes of a pool, noise, rooms, and voices kept for evaluation."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from vita_training.data.sample import Clip, Sample
from vita_training.world import held_out
from vita_training.world.patterns import is_held_out, is_whole
from vita_training.world.pool import ASIDE, MURMUR, Recordings, Take, lines, record
from vita_training.world.room import heard, noise_bank
from vita_training.world.sources import WorldSource, noises, speech_and_noise, spoken_questions, transcripts, turn_ends
from vita_training.world.voices import sample_voice

pytestmark = pytest.mark.unit

HZ = 16_000


def hummed(count: int = 1500) -> Recordings:
    """A pool whose takes are tones instead of voices, a tenth of a second a word."""
    takes: list[Take] = []
    sounds: list[np.ndarray] = []
    end = 0
    drawn = lines(1)
    for line in (next(drawn) for _ in range(count)):
        starts = [i for i in range(1, len(line.text)) if line.text[i - 1] == " "]
        length = HZ // 10 * (len(starts) + 1)
        end += length
        takes.append(Take(line.meaning, line.text, end, tuple((c, HZ // 10 * (i + 1)) for i, c in enumerate(starts))))
        sounds.append((np.sin(np.arange(length) / 10) * 8000).astype(np.int16))
    return Recordings(tuple(takes), np.concatenate(sounds))


POOL = hummed()


def clips(source: WorldSource, count: int) -> list[tuple[Sample, Clip]]:
    return [(sample, clip) for sample in (source[i] for i in range(count)) for clip in sample.audio]


def samples_of(clip: Clip) -> np.ndarray:
    assert isinstance(clip.samples, np.ndarray)
    return clip.samples


def test_half_of_the_questions_of_stage_2_2_are_spoken_as_far_as_they_were_recorded() -> None:
    drawn = [speech_and_noise(2, recordings=POOL)[i] for i in range(500)]
    said = [u.value for s in drawn for u in s.conversations if u.speaker == "human"]
    assert 0.3 < sum("<audio>" in value for value in said) / len(said) < 0.6
    assert all(len(s.audio) == sum("<audio>" in u.value for u in s.conversations) for s in drawn)
    assert all(len(s.pictures) == sum("<image>" in u.value for u in s.conversations) for s in drawn)


def test_a_spoken_question_has_the_answer_of_its_words() -> None:
    source, checked = spoken_questions(3, recordings=POOL, subject="talk"), 0
    for sample in (source[i] for i in range(300)):
        heard_clips = iter(sample.audio)
        for asked, answered in zip(sample.conversations, sample.conversations[1:], strict=False):
            said = next(heard_clips).text.lower() if "<audio>" in asked.value else ""
            if said and " plus " in said:
                a, b = said.rstrip("?.").split(" plus ")
                assert answered.value.lower().startswith(f"{a.split()[-1]} plus {b.split()[0]} is ")
                checked += 1
    assert checked > 5


def test_noise_is_marked_unanswered_and_last() -> None:
    drawn = [speech_and_noise(2, recordings=POOL)[i] for i in range(400)]
    with_noise = [sample for sample in drawn if sample.inserted_id is not None]
    assert 30 < len(with_noise) < 100
    for sample in with_noise:
        answers = [u.value for u in sample.conversations if u.speaker == "gpt"]
        assert sample.inserted_id == len(answers) - 1
        assert answers[-1] == "" == sample.audio[-1].text
        assert sample.conversations[-2].value.endswith("<audio>")
        assert sample.is_whole
    assert all("" not in [u.value for u in s.conversations] for s in drawn if s.inserted_id is None)


def test_noises_sound_and_keep_within_the_range() -> None:
    for _, clip in clips(noises(4, recordings=POOL), 60):
        assert HZ // 20 < len(samples_of(clip)) < 12 * HZ
        assert np.abs(samples_of(clip)).max() > 50


def test_unfinished_sentences_are_beginnings_that_are_no_question() -> None:
    drawn = clips(turn_ends(5, recordings=POOL), 300)
    unfinished = [clip for sample, clip in drawn if sample.kind == "unfinished"]
    assert 100 < len(unfinished) < 200
    texts = [take.text for take in POOL.takes]
    for clip in unfinished:
        assert not is_whole(clip.text)
        assert any(text.startswith(clip.text + " ") for text in texts)
    assert all(is_whole(clip.text) for sample, clip in drawn if sample.kind == "finished")


def test_speech_stands_above_noise_by_the_ratio_asked_for() -> None:
    rng, speech = random.Random(0), (np.sin(np.arange(3 * HZ) / 7) * 0.3).astype(np.float32)
    bank = noise_bank(rng, 2)
    for _ in range(20):
        state = rng.getstate()
        clean = heard(speech, rng, bank, math.inf)
        rng.setstate(state)
        noise = heard(speech, rng, bank, 10.0) - clean
        assert 10 * math.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(10, abs=1.5)


def test_a_room_keeps_the_length_and_the_range() -> None:
    rng, bank = random.Random(0), noise_bank(random.Random(1), 1)
    speech = (np.sin(np.arange(HZ) / 7) * 0.9).astype(np.float32)
    for _ in range(60):
        changed = heard(speech, rng, bank, trail_s=0.5)
        assert 1.5 * HZ <= len(changed) <= 1.95 * HZ + 1
        assert np.abs(changed).max() <= 1
        assert changed.dtype == np.float32


def test_sounds_are_a_function_of_seed_and_index() -> None:
    for make in (speech_and_noise, transcripts, turn_ends, noises):
        one, other = make(1, recordings=POOL), make(1, recordings=POOL)
        other[0]
        assert [samples_of(c).tobytes() for _, c in clips(one, 9)] == [
            samples_of(c).tobytes() for _, c in clips(other, 9)
        ]


def test_voices_and_speeds_of_evaluation_are_not_learnt() -> None:
    rng = random.Random(0)
    learnt = [sample_voice(rng) for _ in range(3000)]
    kept = [sample_voice(rng, is_held_out=True) for _ in range(300)]
    assert not {v.variant for v in learnt} & {v.variant for v in kept}
    assert not {v.words_per_minute for v in learnt} & {v.words_per_minute for v in kept}
    assert {(v.accent, v.variant) for v in kept} == set(held_out.VOICES)


def test_the_learnt_pool_says_nothing_in_a_held_out_wording() -> None:
    asked = [take.text for take in POOL.takes if take.meaning not in (ASIDE, MURMUR)]
    assert not [text for text in asked if is_held_out(text)]
    assert all(map(is_whole, asked))


def test_a_pool_comes_back_from_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="vita_training"):
        Recordings.load(tmp_path)
    POOL.save(tmp_path)
    loaded = Recordings.load(tmp_path)
    assert loaded.takes == POOL.takes
    assert (loaded.samples_of(7) == POOL.samples_of(7)).all()


def test_voices_say_their_lines_and_tell_when_words_start() -> None:
    spoken = record(120, seed=3)
    assert (record(120, seed=3).samples == spoken.samples).all()
    for index, take in enumerate(spoken.takes):
        samples = spoken.samples_of(index)
        assert 0.1 * HZ < len(samples) < 12 * HZ
        assert np.abs(samples.astype(int)).max() > 2000
        assert all(take.text[character - 1] == " " for character, _ in take.words)
        assert [*take.words] == sorted(take.words) == sorted(take.words, key=lambda word: word[1])
        assert all(0 < sample < len(samples) for _, sample in take.words)
