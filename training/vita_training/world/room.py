"""What a microphone and a room do to a clean recording: silence around it, echo, noise, another level."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.signal import oaconvolve

from vita15.config import SPEECH_IN_HZ
from vita_training.world.sounds import Samples, coloured_noise

# The server keeps 300 ms before speech and 500 ms after, or 1.5 s where it waited for the rest of a sentence; files may
# have none or more.
LEAD_S, TRAIL_S = (0.0, 0.45), (0.0, 0.65)
LONG_TRAIL_S, LONG_TRAIL_SHARE = 1.7, 0.12  # longest, and how many clips end in more than TRAIL_S
NOISE_S = 12  # of each noise of a bank; longer clips hear it again
CLEAN_SHARE = 0.2  # of clips: silence around them, and no more
ECHO_SHARE = 0.2
LEVELS_DB = (-22.0, 5.0)
QUIET_DB = 60.0  # a ratio of speech to noise from which on no noise is added


def noise_bank(rng: random.Random, count: int = 16) -> list[Samples]:
    """Noises of unit power and many colours, to cut from."""
    return [coloured_noise(rng, NOISE_S * SPEECH_IN_HZ) for _ in range(count)]


@cache
def usual_noises() -> tuple[Samples, ...]:
    """The bank that training uses, the same in every run."""
    return tuple(noise_bank(random.Random(0)))


def heard(
    samples: Samples,
    rng: random.Random,
    noises: Sequence[Samples],
    ratio_db: float | None = None,
    trail_s: float | None = None,
) -> Samples:
    """Hear a clip in a room.

    Args:
        samples: (S,) at 16 kHz in [-1, 1].
        rng: draws the room.
        noises: of unit power.
        ratio_db: of speech to noise, for tests: then there is no echo and no change of level. Drawn if None.
        trail_s: silence after it. Drawn if None.

    Returns:
        (S + silence around it,).
    """
    trail_s = _trail_s(rng) if trail_s is None else trail_s
    changed = np.pad(samples, (int(rng.uniform(*LEAD_S) * SPEECH_IN_HZ), int(trail_s * SPEECH_IN_HZ)))
    power = float(np.sqrt(np.mean(samples**2))) + 1e-5
    if ratio_db is not None:
        return changed if math.isinf(ratio_db) else _clip(changed + _noise(len(changed), power, ratio_db, rng, noises))
    if rng.random() < CLEAN_SHARE:
        return changed
    if rng.random() < ECHO_SHARE:
        changed = _echo(changed, rng)
    ratio_db = rng.uniform(5, 30) if rng.random() < 0.6 else rng.uniform(30, 70)
    if ratio_db < QUIET_DB:
        changed = changed + _noise(len(changed), power, ratio_db, rng, noises)
    return _clip(changed * np.float32(10 ** (rng.uniform(*LEVELS_DB) / 20)))


def _trail_s(rng: random.Random) -> float:
    is_long = rng.random() < LONG_TRAIL_SHARE
    return rng.uniform(TRAIL_S[1], LONG_TRAIL_S) if is_long else rng.uniform(*TRAIL_S)


def _noise(length: int, power: float, ratio_db: float, rng: random.Random, noises: Sequence[Samples]) -> Samples:
    noise = rng.choice(noises)
    start = rng.randrange(len(noise))
    cut = noise[start : start + length] if start + length <= len(noise) else np.resize(np.roll(noise, -start), length)
    return cut * np.float32(power * 10 ** (-ratio_db / 20))


def _echo(samples: Samples, rng: random.Random) -> Samples:
    """Add the tail of a room: noise that decays by 60 dB in 0.08 to 0.4 s."""
    length = int(rng.uniform(0.08, 0.4) * SPEECH_IN_HZ)
    tail = np.random.default_rng(rng.getrandbits(32)).standard_normal(length, dtype=np.float32)
    tail *= np.exp(-np.arange(length, dtype=np.float32) * np.float32(6.9 / length)) * np.float32(rng.uniform(0.02, 0.1))
    tail[0] = 1.0
    return np.asarray(oaconvolve(samples, tail)[: len(samples)], dtype=np.float32)


def _clip(samples: Samples) -> Samples:
    return samples.clip(-1, 1).astype(np.float32)
