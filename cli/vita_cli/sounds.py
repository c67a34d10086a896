"""Sound files in and out, at the Realtime API's 24 kHz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    _write(path, np.frombuffer(pcm, "<i2"))


@dataclass(frozen=True, slots=True)
class Heard:
    """A sound, and when it was heard."""

    at_s: float
    pcm: bytes  # 16 bits at 24 kHz


def write_conversation(path: Path, left: Sequence[Heard], right: Sequence[Heard]) -> None:
    """Write two sides of a conversation, each in its time, as one WAV from the first sound on.

    Raises:
        RealtimeError: the file cannot be written.
    """
    start_s = min(heard.at_s for heard in (*left, *right))
    length = max(round((heard.at_s - start_s) * RATE_HZ) + len(heard.pcm) // 2 for heard in (*left, *right))
    sides = np.zeros((length, 2), np.int16)
    for side, sounds in enumerate((left, right)):
        for heard in sounds:
            first = round((heard.at_s - start_s) * RATE_HZ)
            sides[first : first + len(heard.pcm) // 2, side] = np.frombuffer(heard.pcm, "<i2")
    _write(path, sides)


def trailing_silence_s(pcm: bytes) -> float:
    """Return how long a recording goes on after its last voice: what is measured counts from the voice's end."""
    samples: NDArray[np.float32] = np.frombuffer(pcm, "<i2").astype(np.float32)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if len(frames) == 0:
        return 0.0
    loudness = np.sqrt((frames**2).mean(axis=1))
    voiced = np.flatnonzero(loudness > QUIET * loudness.max())
    return float(len(frames) - 1 - voiced[-1]) * 0.01 if len(voiced) else 0.0


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    """Write (S,) or (S, 2)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    except (OSError, soundfile.SoundFileError) as error:
        raise RealtimeError(f"{path} cannot be written") from error
