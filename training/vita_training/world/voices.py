"""Questions spoken by espeak-ng in many voices; some voices are kept for evaluation only."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from vita15.config import SPEECH_IN_HZ

ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029")
VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "Andy", "Annie", "David", "edward", "Michael"),
    *("linda", "max", "john", "pablo", "robert", "steph", "adam", "Alicia", "antonio", "belinda", "Denis", "Diogo"),
    *("ed", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "marcelo", "Marco", "mike", "paul", "pedro", "quincy", "rob"),
    *("steph2", "steph3", "victor", "zac"),
)
HELD_OUT_VOICES = (("en-us", "f5"), ("en-gb", "m8"), ("en-us", "Alex"), ("en-us", "Andrea"))
_ESPEAK_HZ = 22_050
_WAV_HEADER_BYTES = 44
_SILENCE = 0.005  # amplitude below which espeak is silent
_SYNTHESIS_DEADLINE_S = 30


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker and a manner of speaking, in espeak's terms."""

    accent: str
    variant: str
    words_per_minute: int
    pitch: int  # 0-99


def sample_voice(rng: random.Random, *, is_held_out: bool = False) -> Voice:
    """Draw a voice; held-out voices are never drawn for training."""
    accent, variant = rng.choice(HELD_OUT_VOICES) if is_held_out else (rng.choice(ACCENTS), rng.choice(VARIANTS))
    return Voice(accent, variant, rng.randint(125, 195), rng.randint(25, 75))


def speak(text: str, voice: Voice) -> NDArray[np.int16]:
    """Synthesise (S,) at 16 kHz, without silence around it.

    Raises:
        RuntimeError: espeak-ng failed or said nothing.
    """
    command = ["espeak-ng", "-v", f"{voice.accent}+{voice.variant}", "-s", str(voice.words_per_minute)]
    command += ["-p", str(voice.pitch), "--stdout", text]
    done = subprocess.run(command, capture_output=True, timeout=_SYNTHESIS_DEADLINE_S, check=False)
    samples = np.frombuffer(done.stdout[_WAV_HEADER_BYTES:], dtype=np.int16).astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(samples) > _SILENCE)
    if done.returncode != 0 or not len(loud):
        raise RuntimeError(f"espeak-ng said nothing for {voice}: {done.stderr.decode(errors='replace').strip()}")
    samples = samples[max(0, loud[0] - 600) : loud[-1] + 800]
    resampled = resample_poly(samples, SPEECH_IN_HZ // 50, _ESPEAK_HZ // 50)
    return (resampled * 32767).clip(-32767, 32767).astype(np.int16)
