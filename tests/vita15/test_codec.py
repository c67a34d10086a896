"""The codec's two generators: 600 samples a code, windows equal offline, batches equal singles."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from vita15.codec import CodecDecoder, IstftGenerator, fold_weight_norm
from vita15.config import SAMPLES_PER_CODE, TINY, VITA_1_5, CodecConfig

pytestmark = pytest.mark.unit

SMALL_HIFIGAN = dataclasses.replace(
    VITA_1_5.codec_decoder, code_dim=16, channels=64, global_tokens=(473, 975), global_dim=8
)


@pytest.fixture(params=[TINY.codec_decoder, SMALL_HIFIGAN], ids=["istft", "hifigan"])
def codec(request: pytest.FixtureRequest) -> CodecDecoder:
    torch.manual_seed(0)
    return CodecDecoder(request.param).eval().requires_grad_(False)


def random_codes(*shape: int) -> Tensor:
    return torch.randint(1024, shape, generator=torch.Generator().manual_seed(1))


def test_fifty_codes_are_exactly_thirty_thousand_samples(codec: CodecDecoder) -> None:
    assert codec(random_codes(1, 50)).shape == (1, 30_000)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_codes_are_600_samples_each(codec: CodecDecoder, count: int) -> None:
    assert codec(random_codes(1, count)).shape == (1, count * SAMPLES_PER_CODE)


def test_a_batch_equals_singles(codec: CodecDecoder) -> None:
    codes = random_codes(3, 20)
    together = codec(codes)
    alone = torch.cat([codec(row[None]) for row in codes])
    assert (together - alone).abs().max() < 1e-5


def test_sound_stays_within_full_scale_whatever_the_weights() -> None:
    codec = CodecDecoder(TINY.codec_decoder).requires_grad_(False)
    assert isinstance(codec.generator, IstftGenerator)
    nn.init.normal_(codec.generator.head.weight, std=10.0)
    sound = codec(random_codes(1, 20))
    assert torch.isfinite(sound).all()
    assert sound.abs().max() <= 1.0


def test_a_code_outside_the_codebook_is_refused(codec: CodecDecoder) -> None:
    for wrong in (-1, 1024, 1026):
        with pytest.raises(ValueError, match="outside a codebook of 1024"):
            codec(torch.tensor([[3, wrong, 5]]))


def test_windows_with_ten_codes_of_context_equal_offline_decoding() -> None:
    torch.manual_seed(0)
    codec = CodecDecoder(TINY.codec_decoder).requires_grad_(False)
    context = TINY.codec_decoder.context_codes
    codes = random_codes(1, 137)
    pieces: list[Tensor] = []
    for start in range(0, 137, 20):
        end = min(137, start + 20)
        first, last = max(0, start - context), min(137, end + context)
        keep = slice((start - first) * SAMPLES_PER_CODE, (end - first) * SAMPLES_PER_CODE)
        pieces.append(codec(codes[:, first:last])[:, keep])
    offline = codec(codes)
    assert (torch.cat(pieces, 1) - offline).abs().max() <= 1e-5 * offline.abs().max()


def test_istft_sees_at_most_nine_codes_either_side() -> None:
    torch.manual_seed(0)
    codec = CodecDecoder(TINY.codec_decoder).requires_grad_(False)
    codes = random_codes(1, 41)
    other = codes.clone()
    other[0, 20] = (other[0, 20] + 1) % 1024
    changed = (codec(codes) != codec(other))[0].unflatten(0, (41, SAMPLES_PER_CODE)).any(1)
    assert int(changed.nonzero().min()) >= 20 - 9
    assert int(changed.nonzero().max()) <= 20 + 9


def test_the_voice_is_heard_where_its_width_fits() -> None:
    torch.manual_seed(0)
    codec = CodecDecoder(SMALL_HIFIGAN).requires_grad_(False)
    codes = random_codes(1, 10)
    before = codec(codes)
    codec.embedding_globaltokens[1].weight[975] += 1.0  # type: ignore[union-attr, operator]
    assert not torch.equal(codec(codes), before)


def test_the_full_generator_has_the_published_size() -> None:
    with torch.device("meta"):
        codec = CodecDecoder(VITA_1_5.codec_decoder)
    assert sum(p.numel() for p in codec.generator.parameters()) == 15_369_857


def test_upsampling_that_does_not_give_600_samples_is_refused() -> None:
    wrong: list[CodecConfig] = [
        dataclasses.replace(SMALL_HIFIGAN, upsample_rates=(8, 5, 5, 2)),
        dataclasses.replace(TINY.codec_decoder, hop=200),
    ]
    for config in wrong:
        with pytest.raises(ValueError, match="600"):
            CodecDecoder(config)


def test_folding_weight_normalisation_keeps_what_a_layer_computes() -> None:
    torch.manual_seed(0)
    normalised = nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(4, 6, 5, 3))
    plain = nn.ConvTranspose1d(4, 6, 5, 3)
    state = normalised.state_dict()
    named = {
        "bias": state["bias"],
        "weight_g": state["parametrizations.weight.original0"],
        "weight_v": state["parametrizations.weight.original1"],
    }
    plain.load_state_dict(fold_weight_norm(named))
    x = torch.randn(1, 4, 7)
    assert (normalised(x) - plain(x)).abs().max() < 1e-6


def test_half_a_weight_normalised_pair_is_an_error() -> None:
    with pytest.raises(KeyError):
        fold_weight_norm({"conv.weight_g": torch.ones(3, 1, 1)})
