"""The speech encoder: counts, masks, attention against its definition, batches."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vita15.config import TINY
from vita15.errors import SpeechTooLong
from vita15.fbank import fbank, frame_count
from vita15.speech_encoder import (
    Attention,
    Mode,
    SpeechEncoder,
    chunk_mask,
    draw_chunks,
    embedding_count,
    encoder_frame_count,
    sinusoids,
)

pytestmark = pytest.mark.unit


def features_of(frames: int, seed: int = 0) -> Tensor:
    return 12 + 3 * torch.randn(frames, 80, generator=torch.Generator().manual_seed(seed))


def test_counts_are_the_published_ones() -> None:
    assert [embedding_count(frame_count(16_000 * s)) for s in (1, 2, 5, 10, 30)] == [12, 24, 62, 124, 374]
    assert embedding_count(352) == 44
    for frames in range(1, 500):
        assert encoder_frame_count(frames) == len(range(frames)[2::2][2::2])
        assert embedding_count(frames) == len(range(frames)[2::2][2::2][0::2])


@pytest.mark.parametrize("frames", [7, 8, 11, 12, 15, 16, 100, 101])
def test_what_comes_out_is_as_long_as_counted(speech_encoder: SpeechEncoder, frames: int) -> None:
    embeddings, lengths = speech_encoder(features_of(frames)[None], torch.tensor([frames]))
    assert embeddings.shape == (1, embedding_count(frames), 384)
    assert lengths.tolist() == [embedding_count(frames)]


@pytest.mark.parametrize("frames", [1, 6])
def test_too_short_a_clip_gives_nothing(speech_encoder: SpeechEncoder, frames: int) -> None:
    embeddings, lengths = speech_encoder(features_of(frames)[None], torch.tensor([frames]))
    assert (embeddings.shape, lengths.tolist()) == ((1, 0, 384), [0])


def test_scores_are_as_defined_and_places_are_not_shifted() -> None:
    torch.manual_seed(0)
    attention = Attention(TINY.speech_encoder)
    x, places = torch.randn(1, 9, 144), sinusoids(9, 144)
    mask = chunk_mask(torch.arange(9), torch.arange(9), 4, 1)
    q, k, v = (
        linear(x)[0].view(9, 4, 36).transpose(0, 1)
        for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    p = attention.linear_pos(places).view(9, 4, 36).transpose(0, 1)
    u, w = attention.pos_bias_u[:, None], attention.pos_bias_v[:, None]
    scores = ((q + u) @ k.transpose(1, 2) + (q + w) @ p.transpose(1, 2)) / math.sqrt(36)
    weights = scores.masked_fill(~mask, -65504).softmax(-1).masked_fill(~mask, 0)
    expected = attention.linear_out((weights @ v).transpose(0, 1).reshape(1, 9, 144))
    torch.testing.assert_close(attention(x, places[None], mask[None], None), expected, atol=1e-5, rtol=1e-4)


def test_places_are_sine_and_cosine_in_turn() -> None:
    table = sinusoids(6, 8)
    assert table[5, 2] == pytest.approx(math.sin(5 / 10_000 ** (2 / 8)))
    assert table[5, 3] == pytest.approx(math.cos(5 / 10_000 ** (2 / 8)))


def test_a_frame_sees_its_chunk_and_those_to_its_left() -> None:
    mask = chunk_mask(torch.arange(20), torch.arange(20), chunk=4, left_chunks=2)
    for frame in range(20):
        first, end = max(0, (frame // 4 - 2) * 4), (frame // 4 + 1) * 4
        assert mask[frame].nonzero().flatten().tolist() == list(range(first, min(end, 20)))


def test_dynamic_chunks_stay_within_their_bounds() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_chunks(100, generator) for _ in range(300)]
    assert (100, 0) in drawn  # everything, about half the time
    assert 100 < sum(chunk == 100 for chunk, _ in drawn) < 200
    partial = [(chunk, left) for chunk, left in drawn if chunk != 100]
    assert all(1 <= chunk <= 25 and 0 <= left < max(1, 99 // chunk) for chunk, left in partial)
    assert draw_chunks(1)[0] >= 1


@pytest.mark.parametrize("mode", ["full", "stream"])
def test_a_batch_equals_its_clips_whatever_pads_them(speech_encoder: SpeechEncoder, mode: Mode) -> None:
    lengths = torch.tensor([300, 7, 123, 3, 210])
    clips = [features_of(int(n), seed=int(n)) for n in lengths]
    padded = torch.full((5, 300, 80), 99.0)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    embeddings, counts = speech_encoder(padded, lengths, mode)
    for i, clip in enumerate(clips):
        alone, count = speech_encoder(clip[None], lengths[i : i + 1], mode)
        assert counts[i] == count[0] == alone.shape[1]
        torch.testing.assert_close(embeddings[i, : counts[i]], alone[0], atol=1e-4, rtol=1e-4)


def test_streaming_frames_do_not_see_what_comes_after_their_chunk(speech_encoder: SpeechEncoder) -> None:
    features = features_of(200)
    changed = features.clone()
    changed[100:] += 1  # encoder frames from 24 on see feature frame 100 or later
    length = torch.tensor([200])
    before, after = (speech_encoder.encode_frames(f[None], length, "stream")[0][0] for f in (features, changed))
    torch.testing.assert_close(before[:20], after[:20])
    assert not torch.allclose(before[20:24], after[20:24]) or not torch.allclose(before[24:], after[24:])
    full_before, full_after = (speech_encoder.encode_frames(f[None], length)[0][0] for f in (features, changed))
    assert not torch.allclose(full_before[:20], full_after[:20])


def test_dynamic_masks_repeat_with_the_generator(speech_encoder: SpeechEncoder) -> None:
    features, length = features_of(200)[None], torch.tensor([200])
    first, second = (speech_encoder(features, length, "dynamic", torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_the_adapter_pads_with_zeros_at_the_end(speech_encoder: SpeechEncoder) -> None:
    frames = torch.randn(1, 7, 144)
    embeddings, counts = speech_encoder.adapt(frames, torch.tensor([5]))
    adapter = speech_encoder.adapter
    padded = torch.zeros(1, 144, 11)
    padded[0, :, :5] = frames[0, :5].T
    hidden = F.layer_norm(adapter.conv(padded).transpose(1, 2), (288,), adapter.norm.weight, adapter.norm.bias, 1e-3)
    expected = adapter.project(F.gelu(hidden))
    assert counts.tolist() == [3]
    torch.testing.assert_close(embeddings[:, :3], expected[:, :3])


def test_features_are_normalised_inside(speech_encoder: SpeechEncoder) -> None:
    torch.manual_seed(0)
    plain = SpeechEncoder(TINY.speech_encoder).eval()
    plain.load_state_dict(speech_encoder.state_dict())
    plain.set_normalisation(torch.zeros(80), torch.ones(80))
    features, length = features_of(60)[None], torch.tensor([60])
    torch.testing.assert_close(plain((features - 12) / 3, length)[0], speech_encoder(features, length)[0])


def test_speech_past_the_last_place_is_refused() -> None:
    encoder = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, max_frames=20)).eval()
    encoder(features_of(83)[None], torch.tensor([83]))  # 20 frames
    with pytest.raises(SpeechTooLong, match=r"0\.8 s"):
        encoder(features_of(87)[None], torch.tensor([87]))


def test_gradients_reach_every_weight(speech_encoder: SpeechEncoder, sound: Tensor) -> None:
    config = dataclasses.replace(
        TINY.speech_encoder, prompt_count=0, turn_end_hidden=0
    )  # these two learn by themselves
    encoder = SpeechEncoder(config)  # in training mode, with dropout
    features = torch.stack([fbank(sound[:32_000]), fbank(sound[32_000:64_000])])
    embeddings, _ = encoder(features, torch.tensor([198, 90]), "dynamic")
    embeddings.square().sum().backward()
    without = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert without == []


def test_prompt_vectors_come_first_where_there_are_any() -> None:
    none, encoder = (SpeechEncoder(dataclasses.replace(TINY.speech_encoder, prompt_count=n)).eval() for n in (0, 5))
    embeddings, lengths = torch.zeros(2, 3, 384), torch.tensor([3, 1])
    longer, counts = encoder.with_prompt(embeddings, lengths)
    assert (longer.shape, counts.tolist()) == ((2, 8, 384), [8, 6])
    assert encoder.prompt is not None
    assert torch.equal(longer[1, :5], encoder.prompt.weight)
    assert torch.equal(none.with_prompt(embeddings, lengths)[0], embeddings)
