"""Sound on its way: a Realtime client's formats to the model's 16 kHz and back from its 24 kHz, a chunk at a time.

Resampling keeps its state between chunks, so that a stream in pieces sounds as it would whole.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from enum import StrEnum

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from vita.media.v1 import media_pb2
from vita_runtime.errors import BadInput

from vita_gateway.media.audio import ANSWER_RATE_HZ, MODEL_RATE_HZ, Samples

CHUNK_BYTES = MODEL_RATE_HZ // 10 * 2  # 100 ms, the most that one Converse message may carry


class AudioFormat(StrEnum):
    """The Realtime API's formats."""

    PCM = "audio/pcm"  # 24 kHz, 16 bits
    PCMU = "audio/pcmu"  # G.711 µ-law, 8 kHz
    PCMA = "audio/pcma"  # G.711 A-law, 8 kHz

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        return 24_000 if self is AudioFormat.PCM else 8_000

    @property
    def sample_bytes(self) -> int:
        """Bytes a sample."""
        return 2 if self is AudioFormat.PCM else 1


SUBTYPES = {AudioFormat.PCMU: "ULAW", AudioFormat.PCMA: "ALAW"}  # libsndfile's names


class InputAudio:
    """A client's microphone, as the model hears it."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._resampler = _resampler(audio_format.rate_hz, MODEL_RATE_HZ)

    def push(self, content: bytes) -> bytes:
        """Return what can be said of the sound so far, at 16 kHz; the resampler keeps back a few milliseconds.

        Raises:
            BadInput: `content` ends in the middle of a sample; nothing of it was taken.
        """
        return _resampled(self._resampler, decode_samples(self.format, content)).tobytes()

    def flush(self) -> bytes:
        """Return what was kept back, and start anew."""
        tail = _resampled(self._resampler, np.zeros(0, np.int16), is_last=True).tobytes()
        self._resampler = _resampler(self.format.rate_hz, MODEL_RATE_HZ)
        return tail


class OutputAudio:
    """One answer's sound, as a client wants it."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._resampler = None if audio_format is AudioFormat.PCM else _resampler(ANSWER_RATE_HZ, 8_000)

    def push(self, pcm: bytes, *, is_last: bool = False) -> bytes:
        """Return the client's bytes for more of the answer's 24 kHz samples."""
        if self._resampler is None:
            return pcm
        samples = _resampled(self._resampler, np.frombuffer(pcm, "<i2"), is_last=is_last)
        file = io.BytesIO()
        soundfile.write(file, samples, 8_000, format="RAW", subtype=SUBTYPES[self.format])
        return file.getvalue()


def decode_samples(audio_format: AudioFormat, content: bytes) -> Samples:
    """Return (S,) samples at the format's own rate.

    Raises:
        BadInput: `content` ends in the middle of a sample.
    """
    if len(content) % audio_format.sample_bytes:
        raise BadInput("audio", "must be whole 16-bit samples, an even number of bytes", value=len(content))
    if audio_format is AudioFormat.PCM:
        return np.frombuffer(content, "<i2")
    raw = io.BytesIO(content)
    if not content:
        return np.zeros(0, np.int16)
    samples, _ = soundfile.read(
        raw, dtype="int16", samplerate=8_000, channels=1, format="RAW", subtype=SUBTYPES[audio_format]
    )
    return samples.astype(np.int16, copy=False)  # int16 already, which soundfile's types do not say


def decode_clip(audio_format: AudioFormat, content: bytes) -> Samples:
    """Return (S,) samples at 16 kHz of a whole sound in a Realtime format."""
    samples = decode_samples(audio_format, content)
    return _rounded(soxr.resample(samples.astype(np.float32), audio_format.rate_hz, MODEL_RATE_HZ))


def chunks(pcm: bytes) -> Iterator[media_pb2.AudioChunk]:
    """Cut 16 kHz samples into messages of at most 100 ms."""
    for start in range(0, len(pcm), CHUNK_BYTES):
        yield media_pb2.AudioChunk(
            samples=pcm[start : start + CHUNK_BYTES],
            sample_rate_hz=MODEL_RATE_HZ,
            encoding=media_pb2.AUDIO_ENCODING_PCM_S16LE,
        )


def _resampler(from_hz: int, to_hz: int) -> soxr.ResampleStream:
    # HQ keeps back 10-20 ms less than soxr's best quality, and the model's features cannot tell them apart.
    # In float: soxr dithers 16-bit samples, and silence should stay silence.
    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")


def _resampled(resampler: soxr.ResampleStream, samples: Samples, *, is_last: bool = False) -> Samples:
    return _rounded(resampler.resample_chunk(samples.astype(np.float32), last=is_last))


def _rounded(samples: NDArray[np.float32]) -> Samples:
    return np.clip(np.round(samples), -32768, 32767).astype("<i2")
