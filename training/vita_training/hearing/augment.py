"""What a microphone, a room and voice activity detection do to a clean recording."""

from __future__ import annotations

import random

import numpy as np
from scipy.signal import fftconvolve

from vita15.config import SPEECH_IN_HZ
from vita_training.world.sounds import Samples, coloured_noise

# The server keeps 300 ms before speech and up to 500 ms after; typed-in files may have none or more.
MAX_LEAD_S = 0.45
MAX_TRAIL_S = 0.65
NOISE_S = 12


def noise_bank(rng: random.Random, count: int = 24) -> list[Samples]:
    """Noises of unit power and many colours, 12 s each, to cut from."""
    return [coloured_noise(rng, NOISE_S * SPEECH_IN_HZ) for _ in range(count)]


def heard(samples: Samples, rng: random.Random, noises: list[Samples], *, is_clean: bool = False) -> Samples:
    """Put silence around a clip, and unless `is_clean` a room, one of `noises` and another loudness."""
    lead, trail = rng.uniform(0, MAX_LEAD_S), rng.uniform(0, MAX_TRAIL_S)
    around = (int(lead * SPEECH_IN_HZ), int(trail * SPEECH_IN_HZ))
    heard_samples = np.pad(samples, around)
    if is_clean:
        return heard_samples
    if rng.random() < 0.2:
        heard_samples = _in_a_room(heard_samples, rng)
    power = float(np.sqrt(np.mean(samples**2))) + 1e-5
    ratio_db = rng.uniform(5, 30) if rng.random() < 0.6 else rng.uniform(30, 70)
    noise = rng.choice(noises)
    start = rng.randrange(max(1, len(noise) - len(heard_samples)))
    heard_samples = heard_samples[: len(noise)] + noise[start : start + len(heard_samples)] * (
        power * 10 ** (-ratio_db / 20)
    )
    loud = heard_samples * 10 ** rng.uniform(-1.1, 0.25)
    return np.clip(loud, -1, 1).astype(np.float32)


def _in_a_room(samples: Samples, rng: random.Random) -> Samples:
    """Add the tail of a small room."""
    length = int(rng.uniform(0.05, 0.25) * SPEECH_IN_HZ)
    tail = coloured_noise(rng, length) * np.exp(-np.arange(length) * 6.9 / length) * rng.uniform(0.02, 0.12)
    tail[0] = 1.0
    return np.asarray(fftconvolve(samples, tail)[: len(samples)], dtype=np.float32)
