"""Media on its own: streams sound as they would whole, and what is bounded stays bounded."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from vita_gateway.chat.transcripts import LIFETIME_S, TranscriptCache
from vita_gateway.media.audio import to_int16
from vita_gateway.media.decoding import QUEUE, MediaDecoder, MediaLimits
from vita_gateway.media.encoded import decode_base64
from vita_gateway.media.live_audio import AudioFormat, InputAudio, OutputAudio, chunks, decode_clip
from vita_runtime.errors import AtCapacity, BadInput

pytestmark = pytest.mark.unit

LIMITS = MediaLimits(30.0, 8_000_000, 25_000_000, 65_536, 32_000_000)


def speechlike(ms: int, rate_hz: int = 24_000) -> np.ndarray:
    times = np.arange(rate_hz * ms // 1000) / rate_hz
    tones = sum(np.sin(2 * np.pi * hz * times) for hz in (180, 700, 2400))
    return (tones * 3000).astype("<i2")


@pytest.mark.parametrize("piece_ms", [1, 20, 33, 100])
def test_a_microphone_in_pieces_sounds_as_it_would_whole(piece_ms: int) -> None:
    content = speechlike(1000).tobytes()
    stream, size = InputAudio(AudioFormat.PCM), piece_ms * 48
    heard = b"".join(stream.push(content[start : start + size]) for start in range(0, len(content), size))
    heard += stream.flush()
    whole = decode_clip(AudioFormat.PCM, content)
    assert len(heard) == len(whole) * 2 == 32_000
    assert np.abs(np.frombuffer(heard, "<i2").astype(int) - whole).max() <= 1


def test_a_flushed_stream_starts_anew() -> None:
    stream, content = InputAudio(AudioFormat.PCM), speechlike(200).tobytes()
    first = stream.push(content) + stream.flush()
    assert stream.push(content) + stream.flush() == first


def test_the_resampler_keeps_back_little() -> None:
    stream = InputAudio(AudioFormat.PCM)
    given_ms = 0
    for _ in range(20):
        given_ms += len(stream.push(speechlike(20).tobytes())) // 32
    assert given_ms >= 400 - 60


@pytest.mark.parametrize("audio_format", [AudioFormat.PCMU, AudioFormat.PCMA])
def test_telephone_sound_survives_the_way_out_and_back(audio_format: AudioFormat) -> None:
    out = OutputAudio(audio_format)
    sent = b"".join(out.push(speechlike(100).tobytes()) for _ in range(5)) + out.push(b"", is_last=True)
    assert len(sent) == 500 * 8
    back = decode_clip(audio_format, sent).astype(float)
    assert np.abs(back).max() > 5000


def test_sound_goes_on_in_messages_of_at_most_100_ms() -> None:
    sizes = [len(chunk.samples) for chunk in chunks(b"\0\0" * 16 * 250)]
    assert sizes == [3200, 3200, 1600]


def test_loud_samples_are_clipped_and_not_wrapped() -> None:
    assert to_int16(np.array([2.0, -2.0, 0.0], np.float32)).tolist() == [32767, -32768, 0]


@pytest.mark.parametrize("text", ["=", "A", "AAA", "AA=A", "AAAA\n", "ÄÄÄÄ", "AA==AA=="])
def test_base64_is_taken_strictly(text: str) -> None:
    with pytest.raises(BadInput):
        decode_base64("field", text, 100)


def test_base64_beyond_the_limit_is_not_even_decoded() -> None:
    with pytest.raises(BadInput, match="too many"):
        decode_base64("field", "!" * 1000, 100)


def test_a_transcript_is_forgotten_in_time_and_for_others_never_there() -> None:
    now = 1000.0
    cache = TranscriptCache(now=lambda: now, capacity=2)
    assert cache.put("t", "a", "one") == 1000 + LIFETIME_S
    assert cache.get("t", "a") == "one"
    assert cache.get("other", "a") is None
    cache.put("t", "b", "two")
    cache.put("t", "c", "three")
    assert cache.get("t", "a") is None
    now += LIFETIME_S
    assert cache.get("t", "c") is None


async def test_too_much_decoding_at_once_is_refused_and_room_comes_back() -> None:
    media, gate = MediaDecoder(LIMITS), threading.Event()
    waiting = [asyncio.create_task(media.run(gate.wait)) for _ in range(QUEUE)]
    await asyncio.sleep(0)
    with pytest.raises(AtCapacity):
        await media.run(lambda: None)
    waiting[-1].cancel()
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0.05)
    assert await media.run(lambda: 7) == 7
    media.close()
