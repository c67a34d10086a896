"""Where clips come from: takes of the pool and other sounds, each heard in a room of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from vita15.config import SPEECH_IN_HZ
from vita_training.data.sample import Clip
from vita_training.world.patterns import is_whole
from vita_training.world.pool import ASIDE, MURMUR, Recordings
from vita_training.world.room import NOISE_S, heard, usual_noises
from vita_training.world.sounds import Samples, sample_sound

# What noise is: speech to others, many voices at once, a murmur, or a sound that nobody says.
NOISES = {"aside": 0.35, "babble": 0.12, "murmur": 0.08, "sound": 0.45}
BABBLE_VOICES = (4, 7)
BABBLES = 8  # in the bank of noises, beside the coloured ones
FADE_S = 0.01  # where a take is cut
TURN_END_TRAIL_S = (0.2, 0.6)  # silence after which the end of a turn is judged
LEAST_WORDS = 1  # of an unfinished sentence


@dataclass(frozen=True)
class SoundStage:
    """A pool of recordings in rooms; `ratio_db` of speech to noise is fixed for tests, otherwise drawn."""

    recordings: Recordings
    ratio_db: float | None = None

    def question(self, meaning: str, rng: random.Random) -> Clip | None:
        """Hear somebody ask this; None if nobody was recorded asking it."""
        index = self.recordings.draw(meaning, rng)
        return None if index is None else self.take(index, rng)

    def any_question(self, rng: random.Random) -> Clip:
        """Hear somebody ask the assistant anything."""
        return self.take(rng.choice(self.recordings.questions), rng)

    def any_aside(self, rng: random.Random) -> Clip | None:
        """Hear people talk to each other; None if nobody was recorded doing so."""
        return self.question(ASIDE, rng)

    def take(self, index: int, rng: random.Random) -> Clip:
        """Hear one take."""
        return self._heard(self._samples(index), rng, self.recordings.takes[index].text)

    def noise(self, rng: random.Random) -> Clip:
        """Hear what is no question."""
        kind = rng.choices(tuple(NOISES), tuple(NOISES.values()))[0]
        if kind == "babble":
            return self._heard(self._babble(rng, rng.uniform(0.8, 3.0)), rng)
        index = self.recordings.draw({"aside": ASIDE, "murmur": MURMUR}.get(kind, ""), rng)
        return self._heard(sample_sound(rng) if index is None else self._samples(index), rng)

    def turn_end(self, rng: random.Random, pause_s: tuple[float, float] = TURN_END_TRAIL_S) -> tuple[Clip, bool]:
        """Hear a question to its end, or the same voice stop in the middle of one; and whether it is finished.

        Behind it is a pause of `pause_s`, drawn between the two. Half are unfinished. A question whose every beginning
        could stand alone ("Hello.") is never cut.
        """
        index = rng.choice(self.recordings.questions)
        samples, text = self._samples(index), self.recordings.takes[index].text
        if rng.random() < 0.5:
            cuts: list[tuple[int, int]] = []
            while not cuts:  # most questions can be cut
                index = rng.choice(self.recordings.questions)
                cuts = self._cuts(index)
            character, sample = rng.choice(cuts)
            text = self.recordings.takes[index].text[:character].strip()
            return self._paused(_faded(self._samples(index)[:sample]), rng, text, pause_s), False
        return self._paused(samples, rng, text, pause_s), True

    def _cuts(self, index: int) -> list[tuple[int, int]]:
        """Starts of words (character, sample) before which a take is unfinished."""
        take = self.recordings.takes[index]
        return [
            (character, sample)
            for character, sample in take.words
            if sample > SPEECH_IN_HZ // 8 and not is_whole(take.text[:character])
        ]

    def _paused(self, samples: Samples, rng: random.Random, text: str, pause_s: tuple[float, float]) -> Clip:
        """Hear a clip, and then silence."""
        pause = np.zeros(int(rng.uniform(*pause_s) * SPEECH_IN_HZ), np.float32)
        return self._heard(np.concatenate([samples, pause]), rng, text, trail_s=0.0)

    def _heard(self, samples: Samples, rng: random.Random, text: str = "", trail_s: float | None = None) -> Clip:
        sound = heard(samples, rng, self._noises, self.ratio_db, trail_s)
        return Clip((sound * 32767).astype(np.int16), text)

    def _samples(self, index: int) -> Samples:
        return self.recordings.samples_of(index).astype(np.float32) / np.float32(32768)

    def _babble(self, rng: random.Random, seconds: float) -> Samples:
        """Mix voices that talk at once."""
        length = int(seconds * SPEECH_IN_HZ)
        mixed = np.zeros(length, np.float32)
        for _ in range(rng.randint(*BABBLE_VOICES)):
            voice = np.concatenate([self._samples(rng.randrange(len(self.recordings.takes))) for _ in range(2)])
            mixed += np.resize(np.roll(voice, rng.randrange(len(voice))), length) * np.float32(rng.uniform(0.3, 1))
        return mixed * np.float32(0.5 / max(1e-6, float(np.abs(mixed).max())))

    @cached_property
    def _noises(self) -> list[Samples]:
        """Noises to add, the same in every run."""
        rng = random.Random(0)
        babbles = (self._babble(rng, NOISE_S) for _ in range(BABBLES))
        return [*usual_noises(), *(cast(Samples, babble / np.sqrt(np.mean(babble**2))) for babble in babbles)]


def _faded(samples: Samples) -> Samples:
    length = min(len(samples), int(FADE_S * SPEECH_IN_HZ))
    samples[-length:] *= np.linspace(1, 0, length, dtype=np.float32)
    return samples
