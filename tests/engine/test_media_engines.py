"""Laws of the engines for pictures, heard speech, and codec windows, on random tiny models."""

from __future__ import annotations

import dataclasses
import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vita15.codec import CodecDecoder
from vita15.config import TINY
from vita15.engine.codec_windows import CodecWindows, Window
from vita15.engine.errors import BadRequest
from vita15.engine.speech_encoder_engine import SpeechEncoderEngine, SpeechEvent
from vita15.engine.vision_engine import Picture, TileEvent, VisionEngine
from vita15.fbank import fbank
from vita15.images import cut_tiles, load_picture
from vita15.random_checkpoint import write_random_checkpoint
from vita15.speech_encoder import SpeechEncoder
from vita15.vision_encoder import VisionEncoder

pytestmark = pytest.mark.unit


def png(width_px: int, height_px: int, colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width_px, height_px), colour).save(out, "PNG")
    return out.getvalue()


def speech(seed: int, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return (np.random.default_rng(seed).standard_normal(int(16_000 * seconds)) * 3000).astype(np.int16)


class Listener:
    """Hears utterances through one engine."""

    def __init__(self, encoder: SpeechEncoder, max_sessions: int = 32) -> None:
        self.engine = SpeechEncoderEngine(encoder, max_sessions)
        self.events: dict[str, list[SpeechEvent]] = {}

    def open(self, key: str) -> None:
        self.engine.open(key, self.events.setdefault(key, []).append)

    def hear(self, key: str, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> None:
        self.engine.push(key, samples, self.events.setdefault(key, []).append)

    def finish(self, key: str) -> None:
        self.engine.finish(key, self.events[key].append)

    def heard(self, key: str) -> torch.Tensor:
        return torch.cat([event.embeddings for event in self.events[key] if event.embeddings is not None])


def test_tiles_come_in_order_and_equal_the_model_at_once(vision_encoder: VisionEncoder) -> None:
    data, events = png(640, 480), list[TileEvent]()
    engine = VisionEngine(vision_encoder)
    engine.encode(Picture(data, 12, events.append))
    engine.run_until_idle()
    with torch.inference_mode():
        whole = vision_encoder(cut_tiles(load_picture(data), 112, 12))
    assert [(event.index, event.count) for event in events] == [(i, 13) for i in range(13)]
    assert [event.is_last for event in events] == [False] * 12 + [True]
    for event, tile in zip(events, whole, strict=True):
        torch.testing.assert_close(event.embeddings, tile, atol=1e-4, rtol=1e-4)


def test_a_small_picture_does_not_wait_for_a_large_one(vision_encoder: VisionEncoder) -> None:
    order: list[str] = []
    engine = VisionEngine(vision_encoder)
    engine.encode(Picture(png(640, 480), 12, lambda event: order.append("large")))
    engine.encode(Picture(png(112, 112), 1, lambda event: order.append("small")))
    engine.run_until_idle()
    assert order.index("small") <= 2
    assert order.count("large") == 13


@pytest.mark.parametrize(
    ("data", "max_tiles", "reason"),
    [
        (b"junk", 1, "BAD_MEDIA"),
        (png(64, 64)[:60], 1, "BAD_MEDIA"),
        (png(64, 64), 99, "BAD_INPUT"),
        (png(64, 64), -1, "BAD_INPUT"),
    ],
)
def test_a_bad_picture_is_refused_and_the_next_one_served(
    vision_encoder: VisionEncoder, data: bytes, max_tiles: int, reason: str
) -> None:
    events: list[TileEvent] = []
    engine = VisionEngine(vision_encoder)
    engine.encode(Picture(data, max_tiles, events.append))
    engine.encode(Picture(png(64, 64), 1, events.append))
    engine.run_until_idle()
    assert [event.error.split(":")[0] for event in events] == [f"ERROR_REASON_{reason}", ""]
    assert engine.statistics.sessions == 0


def test_a_cancelled_picture_gives_no_more_tiles(vision_encoder: VisionEncoder) -> None:
    events: list[TileEvent] = []
    engine = VisionEngine(vision_encoder)
    picture = Picture(png(640, 480), 12, lambda event: (events.append(event), engine.cancel(picture))[0])
    engine.encode(picture)
    engine.run_until_idle()
    assert len(events) == 1


def test_utterances_heard_in_pieces_side_by_side_equal_the_offline_pass(speech_encoder: SpeechEncoder) -> None:
    listener = Listener(speech_encoder)
    sounds = {"a": speech(1, 2.3), "b": speech(2, 1.1)}
    for key in sounds:
        listener.open(key)
    for start in range(0, 40_000, 2560):
        for key, sound in sounds.items():
            listener.hear(key, sound[start : start + 2560])
        listener.engine.run_until_idle()
    for key, sound in sounds.items():
        listener.finish(key)
        listener.engine.run_until_idle()
        features = fbank(torch.from_numpy(sound.astype(np.float32) / 32768))
        with torch.inference_mode():
            offline, _ = speech_encoder(features[None], torch.tensor([len(features)]), mode="stream")
        assert listener.events[key][-1].is_last
        torch.testing.assert_close(listener.heard(key), offline[0], atol=1e-4, rtol=1e-3)


def test_a_sound_that_comes_whole_equals_one_in_pieces(speech_encoder: SpeechEncoder) -> None:
    listener = Listener(speech_encoder)
    sound = speech(3, 3.0)
    listener.open("whole")
    listener.hear("whole", sound)
    listener.finish("whole")
    listener.open("pieces")
    for piece in np.array_split(sound, 31):
        listener.hear("pieces", piece)
    listener.finish("pieces")
    listener.engine.run_until_idle()
    torch.testing.assert_close(listener.heard("whole"), listener.heard("pieces"), atol=1e-4, rtol=1e-3)


def test_with_a_head_every_embedding_comes_with_what_the_model_makes_of_the_sentence() -> None:
    torch.manual_seed(4)
    encoder = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, turn_end_hidden=16)).eval()
    assert encoder.turn_end is not None
    listener, sound = Listener(encoder), speech(4, 2.0)
    listener.open("a")
    for start in range(0, len(sound), 2560):
        listener.hear("a", sound[start : start + 2560])
        listener.engine.run_until_idle()
    listener.finish("a")
    listener.engine.run_until_idle()
    with torch.inference_mode():
        features = fbank(torch.from_numpy(sound.astype(np.float32) / 32768))
        frames, _ = encoder.encode_frames(features[None], torch.tensor([len(features)]), "stream")
        expected = encoder.turn_end(frames)[0][0].sigmoid()
    events = listener.events["a"]
    assert [event.heard_ms for event in events][:3] == [320, 480, 640]
    assert events[-1].heard_ms == 40 * frames.shape[1]
    for event in events:
        assert event.finished == pytest.approx(expected[event.heard_ms // 40 - 1].item(), abs=1e-4)


@pytest.mark.parametrize(("turn_end_hidden", "said"), [(0, 1), (16, 0)])
def test_an_encoder_without_a_head_says_so_once_and_then_says_nothing_of_sentences(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, turn_end_hidden: int, said: int
) -> None:
    config = dataclasses.replace(
        TINY, speech_encoder=dataclasses.replace(TINY.speech_encoder, turn_end_hidden=turn_end_hidden)
    )
    write_random_checkpoint(config, 0, tmp_path / "checkpoint")
    with caplog.at_level(logging.INFO):
        engine = SpeechEncoderEngine.load(tmp_path / "checkpoint" / "speech_encoder")
        events: list[SpeechEvent] = []
        engine.open("a", events.append)
        for seed in range(3):
            engine.push("a", speech(seed, 1.0), events.append)
        engine.run_until_idle()
    assert sum("no head" in message for message in caplog.messages) == said
    assert {event.finished is None for event in events} == {turn_end_hidden == 0}


def test_an_empty_utterance_ends_with_nothing(speech_encoder: SpeechEncoder) -> None:
    listener = Listener(speech_encoder)
    listener.open("a")
    listener.finish("a")
    listener.engine.run_until_idle()
    assert [event.is_last for event in listener.events["a"]] == [True]
    assert len(listener.heard("a")) == 0


def test_too_long_an_utterance_ends_with_an_error_and_others_go_on(speech_encoder: SpeechEncoder) -> None:
    listener = Listener(speech_encoder)
    listener.open("long")
    listener.hear("long", np.zeros(201 * 16_000, dtype=np.int16))
    listener.open("other")
    listener.hear("other", speech(1, 1.0))
    listener.finish("other")
    listener.engine.run_until_idle()
    assert [event.is_last for event in listener.events["long"]] == [True]
    assert listener.events["long"][0].error.startswith("ERROR_REASON_")
    assert listener.events["other"][-1].error == ""


def test_unknown_and_surplus_utterances_are_refused(speech_encoder: SpeechEncoder) -> None:
    listener = Listener(speech_encoder, max_sessions=1)
    listener.hear("never", speech(1, 0.1))
    listener.open("a")
    listener.open("b")
    listener.engine.run_until_idle()
    assert listener.events["never"][0].error.startswith("ERROR_REASON_COMPONENT_UNAVAILABLE")
    assert listener.events["b"][0].error.startswith("ERROR_REASON_AT_CAPACITY")
    assert listener.events["a"] == []


def test_windows_with_their_context_join_to_the_offline_sound() -> None:
    torch.manual_seed(5)
    decoder = CodecDecoder(TINY.codec_decoder).eval()
    codes = np.random.default_rng(1).integers(0, 1024, 95).astype(np.int32)
    context, windows = 10, CodecWindows(decoder)
    asked: list[Window] = []
    for start in range(0, 95, 20):
        first, end = max(0, start - context), min(95, start + 20)
        asked.append(Window(codes[first : min(95, end + context)], start - first, end - start))
    sounds = windows.decode(asked)
    with torch.inference_mode():
        offline = decoder(torch.from_numpy(codes.astype(np.int64))[None])[0]
    joined = np.concatenate([sound for sound in sounds if isinstance(sound, np.ndarray)])
    assert joined.shape == (95 * 600,)
    assert np.abs(joined / 32767 - offline.numpy()).max() <= 2 / 32767


def test_windows_decoded_together_equal_those_alone_and_a_bad_one_harms_nobody() -> None:
    torch.manual_seed(5)
    windows = CodecWindows(CodecDecoder(TINY.codec_decoder))
    generator = np.random.default_rng(2)
    asked = [Window(generator.integers(0, 1024, size).astype(np.int32), 2, 5) for size in (30, 12, 30, 12, 30)]
    bad = [
        Window(np.array([1024], dtype=np.int32), 0, 1),
        Window(np.array([], dtype=np.int32), 0, 0),
        Window(asked[0].codes, 28, 5),
        Window(asked[0].codes, -1, 5),
    ]
    together = windows.decode([*asked, *bad])
    assert all(isinstance(sound, BadRequest) for sound in together[len(asked) :])
    for window, sound in zip(asked, together, strict=False):
        (alone,) = windows.decode([window])
        assert isinstance(sound, np.ndarray)
        assert isinstance(alone, np.ndarray)
        assert np.abs(sound.astype(int) - alone.astype(int)).max() <= 1
