"""Sounds that nobody says: coughs, knocks, hums, music, hiss."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from vita15.config import SPEECH_IN_HZ

Samples = NDArray[np.float32]  # (S,) at 16 kHz in [-1, 1]


def cough(rng: random.Random) -> Samples:
    """One to three bursts of throat noise, each with a hard onset and a voiced tail."""
    noise = _generator(rng)
    parts: list[Samples] = []
    for _ in range(rng.randint(1, 3)):
        length = int(rng.uniform(0.12, 0.3) * SPEECH_IN_HZ)
        time_s = np.arange(length, dtype=np.float32) / SPEECH_IN_HZ
        burst = _band(noise.standard_normal(length).astype(np.float32), rng.uniform(250, 600), rng.uniform(1800, 4500))
        voiced = np.sin(2 * np.pi * rng.uniform(110, 260) * time_s * (1 - 0.6 * time_s))
        envelope = np.minimum(time_s / 0.008, 1) * np.exp(-time_s * rng.uniform(9, 22))
        parts += [(burst + rng.uniform(0, 0.4) * voiced) * envelope, _silence(rng.uniform(0.05, 0.25))]
    return _loudness(np.concatenate(parts[:-1]), rng)


def knocks(rng: random.Random) -> Samples:
    """Knocks, claps or key strokes."""
    noise = _generator(rng)
    low, high, decay = rng.uniform(80, 1500), rng.uniform(2000, 6500), rng.uniform(25, 120)
    parts: list[Samples] = []
    for _ in range(rng.randint(1, 7)):
        length = int(rng.uniform(0.05, 0.2) * SPEECH_IN_HZ)
        time_s = np.arange(length, dtype=np.float32) / SPEECH_IN_HZ
        parts += [_band(noise.standard_normal(length).astype(np.float32), low, high) * np.exp(-time_s * decay)]
        parts += [_silence(rng.uniform(0.04, 0.4))]
    return _loudness(np.concatenate(parts), rng)


def tones(rng: random.Random) -> Samples:
    """A melody, a hum or a siren."""
    is_sliding, parts = rng.random() < 0.3, list[Samples]()
    for _ in range(rng.randint(1, 8)):
        length = int(rng.uniform(0.12, 0.6) * SPEECH_IN_HZ)
        time_s = np.arange(length, dtype=np.float32) / SPEECH_IN_HZ
        hz = 110.0 * 2 ** (rng.randint(0, 36) / 12) * (1 + (rng.uniform(-0.4, 0.8) if is_sliding else 0) * time_s)
        phase = 2 * np.pi * np.cumsum(hz) / SPEECH_IN_HZ if is_sliding else 2 * np.pi * hz * time_s
        wave = sum(np.sin(k * phase) / k ** rng.uniform(1, 3) for k in range(1, rng.randint(2, 7)))
        envelope = np.minimum(time_s / 0.02, 1) * np.exp(-time_s * rng.uniform(0, 4))
        parts.append(np.asarray(wave * envelope, dtype=np.float32))
    return _loudness(np.concatenate(parts), rng)


def hiss(rng: random.Random) -> Samples:
    """Steady noise of some colour, swelling and falling."""
    length = int(rng.uniform(0.3, 2.5) * SPEECH_IN_HZ)
    return _loudness(coloured_noise(rng, length) * np.hanning(length).astype(np.float32), rng)


def music(rng: random.Random) -> Samples:
    """Some bars: chords that fade, a bass, a beat."""
    beat_s, root = rng.uniform(0.25, 0.6), rng.randint(0, 11)
    length = int(beat_s * SPEECH_IN_HZ)
    time_s = np.arange(length, dtype=np.float32) / SPEECH_IN_HZ
    beats: list[Samples] = []
    for _ in range(rng.randint(3, 8)):
        degree = root + rng.choice((0, 5, 7, 9))
        chord = sum(_note(degree + step, time_s) for step in (12, rng.choice((15, 16)), 19))
        drum = _generator(rng).standard_normal(length).astype(np.float32) * np.exp(-time_s * 60) * rng.uniform(0, 1.5)
        beats.append((chord + 1.5 * _note(degree - 12, time_s)) * np.exp(-time_s * rng.uniform(1, 5)) + drum)
    return _loudness(np.concatenate(beats).astype(np.float32), rng)


def _note(semitone: int, time_s: Samples) -> Samples:
    phase = 2 * np.pi * 110.0 * 2 ** (semitone / 12) * time_s
    return np.asarray(np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase), dtype=np.float32)


def coloured_noise(rng: random.Random, length: int) -> Samples:
    """White to brown noise of unit power, perhaps in a band."""
    spectrum = np.fft.rfft(_generator(rng).standard_normal(length))
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SPEECH_IN_HZ), 40)
    noise = np.fft.irfft(spectrum * hz ** -rng.uniform(0, 1.0), length).astype(np.float32)
    return noise / max(1e-9, float(np.sqrt(np.mean(noise**2))))


_KINDS: tuple[tuple[Callable[[random.Random], Samples], float], ...] = (
    (cough, 0.4),
    (knocks, 0.15),
    (tones, 0.15),
    (music, 0.15),
    (hiss, 0.15),
)


def sample_sound(rng: random.Random) -> Samples:
    """Draw a sound."""
    makers, weights = zip(*_KINDS, strict=True)
    return rng.choices(makers, weights)[0](rng)


def _generator(rng: random.Random) -> np.random.Generator:
    return np.random.default_rng(rng.getrandbits(32))


def _silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SPEECH_IN_HZ), dtype=np.float32)


def _band(samples: Samples, low_hz: float, high_hz: float) -> Samples:
    sections = butter(2, (low_hz, high_hz), "bandpass", fs=SPEECH_IN_HZ, output="sos")
    return np.asarray(sosfilt(sections, samples), dtype=np.float32)


def _loudness(samples: Samples, rng: random.Random) -> Samples:
    peak = max(1e-6, float(np.abs(samples).max()))
    return (samples * (rng.uniform(0.1, 0.9) / peak)).astype(np.float32)
