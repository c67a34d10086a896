"""Who speaks: many voices of espeak-ng at many speeds and pitches; some are kept for evaluation."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from vita_training.world import espeak, held_out
from vita_training.world.espeak import Voice

# "en" is Great Britain; espeak-ng knows "en-gb" without variants only.
ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029")
VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "Andy", "Annie", "David", "edward", "Michael"),
    *("linda", "max", "john", "pablo", "robert", "steph", "adam", "Alicia", "antonio", "belinda", "Denis", "Diogo"),
    *("ed", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "marcelo", "Marco", "Mike", "paul", "pedro", "quincy", "rob"),
    *("steph2", "steph3", "victor", "zac"),
)
SPEEDS = (118, 200)  # words a minute, without those held out
PITCHES = (22, 78)  # of espeak's 0-99


def sample_voice(rng: random.Random, *, is_held_out: bool = False) -> Voice:
    """Draw a voice; held-out voices and speeds are never drawn for training."""
    accent, variant = rng.choice(held_out.VOICES) if is_held_out else (rng.choice(ACCENTS), rng.choice(VARIANTS))
    low, high = held_out.WORDS_PER_MINUTE
    learnt = [speed for speed in range(SPEEDS[0], SPEEDS[1] + 1) if not low <= speed <= high]
    speed = rng.randint(low, high) if is_held_out else rng.choice(learnt)
    return Voice(accent, variant, speed, rng.randint(*PITCHES))


def speak(text: str, voice: Voice) -> NDArray[np.int16]:
    """Synthesise (S,) at 16 kHz, without silence around it."""
    return espeak.speak(text, voice).samples
