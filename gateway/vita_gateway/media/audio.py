"""Recorded sound to what the model hears: 16 kHz, one channel, 16 bits.

libsndfile reads a WAV cut short as if it were whole, so the RIFF chunks are walked here first.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from vita.media.v1 import media_pb2
from vita_runtime.errors import BadMedia

MODEL_RATE_HZ = 16_000
ANSWER_RATE_HZ = 24_000
BLOCK_FRAMES = 65_536  # decoded at a time, so that many channels of float64 never lie in memory whole
RATES_HZ = (4_000, 384_000)  # what sound cards and telephones use
MAX_CHANNELS = 8
STREAMED_SIZE = 0xFFFF_FFFF  # what a program writes that streams a WAV and does not know its length

Samples = NDArray[np.int16]


def decode_recording(field: str, content: bytes, max_s: float) -> media_pb2.AudioClip:
    """Decode a WAV, MP3 or FLAC file of any rate, depth and channel count; call it off the event loop.

    Returns:
        The sound at 16 kHz, channels averaged.
    Raises:
        BadMedia: not such a file, cut short, empty, too long, or holding samples that are not numbers.
    """
    if content[:4] == b"RIFF":
        _check_riff(field, content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_shape(field, file, max_s)
            mono = np.concatenate([np.zeros(0, np.float32), *_mono_blocks(file, max_s)])
            rate_hz: int = file.samplerate
    except soundfile.SoundFileError as error:
        raise BadMedia(field, "is not a sound file that can be decoded (WAV, MP3 or FLAC)") from error
    if mono.size == 0:
        raise BadMedia(field, "sound is empty", value="0 samples", limit="at least 1")
    if mono.size > max_s * rate_hz:  # MP3: the length is known only now
        raise _too_long(field, mono.size / rate_hz, max_s)
    if not np.isfinite(mono).all():
        raise BadMedia(field, "holds samples that are not finite numbers (NaN or infinity)")
    return clip(to_int16(soxr.resample(mono, rate_hz, MODEL_RATE_HZ)))


def clip(samples: Samples) -> media_pb2.AudioClip:
    """Wrap (S,) samples at 16 kHz for the wire."""
    return media_pb2.AudioClip(
        samples=samples.astype("<i2").tobytes(),
        sample_rate_hz=MODEL_RATE_HZ,
        encoding=media_pb2.AUDIO_ENCODING_PCM_S16LE,
    )


def to_int16(samples: NDArray[np.float32]) -> Samples:
    """Round (S,) samples in [-1, 1]; louder ones are clipped."""
    return np.clip(np.round(samples * 32767.0), -32768, 32767).astype(np.int16)


def encode_answer(pcm: bytes, audio_format: str) -> bytes:
    """Write an answer, 16-bit samples at 24 kHz, as `audio_format`: wav, pcm16, flac, mp3 or opus."""
    if audio_format == "pcm16":
        return pcm
    container, subtype = {
        "wav": ("WAV", "PCM_16"),
        "flac": ("FLAC", "PCM_16"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
        "opus": ("OGG", "OPUS"),
    }[audio_format]
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(pcm, "<i2"), ANSWER_RATE_HZ, format=container, subtype=subtype)
    return file.getvalue()


def _check_riff(field: str, content: bytes) -> None:
    """Raise BadMedia unless the chunks of a RIFF file are all there."""
    if content[8:12] != b"WAVE":
        raise BadMedia(field, "is a RIFF file but not a WAV")
    position = 12
    while position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        position += 8
        if name == b"data":
            if size not in (STREAMED_SIZE, 0) and size > len(content) - position:
                raise BadMedia(field, "WAV is cut short", value=f"{len(content) - position} bytes", limit=f"{size}")
            return
        position += size + size % 2
    raise BadMedia(field, "WAV is cut short: it has no data chunk", value=f"{len(content)} bytes")


def _check_shape(field: str, file: soundfile.SoundFile, max_s: float) -> None:
    """Raise BadMedia for a sound that the header already says is out of bounds."""
    if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
        raise BadMedia(field, "sample rate is out of range", value=f"{file.samplerate} Hz", limit=f"{RATES_HZ} Hz")
    if file.channels > MAX_CHANNELS:
        raise BadMedia(field, "has too many channels", value=file.channels, limit=MAX_CHANNELS)
    if file.format != "MP3" and file.frames > max_s * file.samplerate:
        raise _too_long(field, file.frames / file.samplerate, max_s)


def _mono_blocks(file: soundfile.SoundFile, max_s: float) -> Iterator[NDArray[np.float32]]:
    """Yield the sound a block at a time, channels averaged, and stop soon after `max_s`."""
    read_frames = 0
    while read_frames <= max_s * file.samplerate:
        block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)  # (frames, channels)
        if len(block) == 0:
            return
        read_frames += len(block)
        yield block.mean(axis=1, dtype=np.float32)


def _too_long(field: str, length_s: float, max_s: float) -> BadMedia:
    return BadMedia(field, "sound is too long", value=f"{length_s:.1f} s", limit=f"{max_s:g} s")
