"""Sound files in and out, at the Realtime API's 24 kHz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from vita_cli.answers import RATE_HZ
from vita_cli.realtime_client import RealtimeError

FRAME = RATE_HZ // 100  # 10 ms
QUIET = 0.03  # of the loudest frame: the room behind a voice, not the voice


def read_sound(path: Path) -> bytes:
    """Return a sound file as 16-bit samples at 24 kHz, channels averaged.

    Raises:
        RealtimeError: there is no such file, or it is no sound.
    """
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise RealtimeError(f"{path} cannot be read as a sound file") from error
    if len(samples) == 0:
        raise RealtimeError(f"{path} holds no sound")
    mono = soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)
    return np.clip(np.round(mono * 32767), -32768, 32767).astype("<i2").tobytes()


def write_sound(path: Path, pcm: bytes) -> None:
    """Write 16-bit samples at 24 kHz as a WAV.

    Raises:
        RealtimeError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.frombuffer(pcm, "<i2"), RATE_HZ, format="WAV", subtype="PCM_16")
    except (OSError, soundfile.SoundFileError) as error:
        raise RealtimeError(f"{path} cannot be written") from error


def trailing_silence_s(pcm: bytes) -> float:
    """Return how long a recording goes on after its last voice: what is measured counts from the voice's end."""
    samples: NDArray[np.float32] = np.frombuffer(pcm, "<i2").astype(np.float32)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if len(frames) == 0:
        return 0.0
    loudness = np.sqrt((frames**2).mean(axis=1))
    voiced = np.flatnonzero(loudness > QUIET * loudness.max())
    return float(len(frames) - 1 - voiced[-1]) * 0.01 if len(voiced) else 0.0
