"""Speech heard piece by piece gives the embeddings of one masked pass."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from vita15.config import TINY
from vita15.errors import SpeechTooLong
from vita15.fbank import fbank
from vita15.speech_encoder import SpeechEncoder
from vita15.speech_stream import SpeechEncoderStream, push_together

pytestmark = pytest.mark.unit


def whole(encoder: SpeechEncoder, sound: Tensor) -> Tensor:
    features = fbank(sound)
    with torch.inference_mode():
        return encoder(features[None], torch.tensor([len(features)]), "stream")[0][0]


def streamed(encoder: SpeechEncoder, sound: Tensor, step: int) -> Tensor:
    stream = SpeechEncoderStream(encoder)
    return torch.cat([*(stream.push(piece) for piece in sound.split(step)), stream.finish()])


@pytest.mark.parametrize("step", [160, 333, 2560, 10_000, 10**6])
def test_streamed_equals_one_pass(speech_encoder: SpeechEncoder, sound: Tensor, step: int) -> None:
    expected, heard = whole(speech_encoder, sound), streamed(speech_encoder, sound, step)
    assert heard.shape == expected.shape
    assert (heard - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("samples", [0, 300, 1000, 1359, 1360, 2000, 2560, 2639, 2640, 3920, 5000, 7777])
def test_short_and_odd_lengths_come_out_whole(speech_encoder: SpeechEncoder, sound: Tensor, samples: int) -> None:
    expected, heard = whole(speech_encoder, sound[:samples]), streamed(speech_encoder, sound[:samples], 500)
    assert heard.shape == expected.shape
    torch.testing.assert_close(heard, expected, atol=1e-4, rtol=1e-4)


def test_the_history_is_longer_than_what_is_remembered(speech_encoder: SpeechEncoder, sound: Tensor) -> None:
    # Eight seconds are 200 frames; a layer remembers 64. Otherwise the tests above would say little.
    config = speech_encoder.config
    assert len(fbank(sound)) // 4 > 2 * config.left_chunks * config.chunk_frames


def test_embeddings_come_while_speech_goes_on(speech_encoder: SpeechEncoder, sound: Tensor) -> None:
    stream = SpeechEncoderStream(speech_encoder)
    counts = [len(stream.push(piece)) for piece in sound[:64_000].split(2560)]
    # Behind by at most one chunk, the subsampling's and the adapter's look-ahead: 0.4 s, or five embeddings.
    for pushed, given in enumerate(torch.tensor(counts).cumsum(0).tolist(), start=1):
        assert given >= 2 * pushed - 5
    assert max(counts) == 2


def test_utterances_do_not_touch_each_other(speech_encoder: SpeechEncoder, sound: Tensor) -> None:
    one, other = SpeechEncoderStream(speech_encoder), SpeechEncoderStream(speech_encoder)
    mixed: list[Tensor] = []
    for piece in sound[:48_000].split(2560):
        mixed.append(one.push(piece))
        other.push(-piece.flip(0))
    mixed.append(one.finish())
    torch.testing.assert_close(torch.cat(mixed), streamed(speech_encoder, sound[:48_000], 2560))


def test_speech_past_the_last_place_is_refused(sound: Tensor) -> None:
    encoder = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, max_frames=40)).eval()
    stream = SpeechEncoderStream(encoder)
    stream.push(sound[:16_000])
    with pytest.raises(SpeechTooLong):
        stream.push(sound[16_000:48_000])
    assert stream.heard_frames <= 40


def test_utterances_heard_together_are_as_if_alone(speech_encoder: SpeechEncoder, sound: Tensor) -> None:
    # Utterances of different ages, one silent for a while, pieces of different lengths.
    sounds = [sound[:80_000], sound[20_000:64_000], sound[5000:30_000]]
    streams = [SpeechEncoderStream(speech_encoder) for _ in sounds]
    heard: list[list[Tensor]] = [[], [], []]
    steps = [[2560] * 32, [0] * 5 + [2560] * 18, [1000, 5000, 2560, 2560, 3000] + [2560] * 5]
    used = [0, 0, 0]
    for turn in range(32):
        speaking = [i for i in range(3) if turn < len(steps[i]) and used[i] < len(sounds[i])]
        pieces = [sounds[i][used[i] : used[i] + steps[i][turn]] for i in speaking]
        replies = push_together([streams[i] for i in speaking], pieces)
        for i, piece, reply in zip(speaking, pieces, replies, strict=True):
            assert isinstance(reply, Tensor)
            used[i] += len(piece)
            heard[i].append(reply)
    for i, stream in enumerate(streams):
        together = torch.cat([*heard[i], stream.finish()])
        expected = whole(speech_encoder, sounds[i][: used[i]])
        assert together.shape == expected.shape
        assert (together - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_one_utterance_that_is_too_long_does_not_end_the_others(sound: Tensor) -> None:
    encoder = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, max_frames=40)).eval()
    streams = [SpeechEncoderStream(encoder) for _ in range(2)]
    first, second = push_together(streams, [sound[:48_000], sound[:16_000]])
    assert isinstance(first, SpeechTooLong)
    assert isinstance(second, Tensor)
    torch.testing.assert_close(
        torch.cat([second, streams[1].finish()]), whole(encoder, sound[:16_000]), atol=1e-4, rtol=1e-4
    )


def test_the_end_of_a_turn_is_judged_alike_streamed_and_in_one_pass(sound: Tensor) -> None:
    encoder = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, turn_end_hidden=16)).eval()
    assert encoder.turn_end is not None
    stream = SpeechEncoderStream(encoder)
    judged = [stream.finished for piece in sound[:32_000].split(2560) if len(stream.push(piece)) >= 0]
    features = fbank(sound[:32_000])
    with torch.inference_mode():
        frames, _ = encoder.encode_frames(features[None], torch.tensor([len(features)]), "stream")
        expected = encoder.turn_end(frames)[0][0].sigmoid()
    assert judged[0] is None  # nothing is heard before the first whole chunk
    assert judged[-1] == pytest.approx(expected[stream.heard_frames - 1].item(), abs=1e-4)
    assert len({value for value in judged if value is not None}) > 5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_fewer_bits_give_nearly_the_same(
    speech_encoder: SpeechEncoder, sound: Tensor, dtype: torch.dtype
) -> None:
    encoder = SpeechEncoder(TINY.speech_encoder).eval()
    state = {name: tensor.to(dtype) for name, tensor in speech_encoder.state_dict().items()}
    encoder.load_state_dict(state, assign=True)
    expected, heard = whole(speech_encoder, sound[:32_000]), streamed(encoder, sound[:32_000], 2560)
    assert heard.dtype == dtype
    assert (heard.float() - expected).abs().max() <= 0.05 * expected.abs().max()
