"""The speech decoder: special ids, positions, the bidirectional NAR prefill, and sizes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from vita15.config import TINY, VITA_1_5
from vita15.speech_decoder import SpecialIds, SpeechDecoder, sequence_mask

pytestmark = pytest.mark.unit

SPEECH_START = 1025
TEXT = torch.tensor([[3, 14, 15, 92, 65]])


@pytest.fixture(scope="module")
def decoder() -> SpeechDecoder:
    torch.manual_seed(0)
    return SpeechDecoder(dataclasses.replace(TINY.speech_decoder, max_codes=40)).eval().requires_grad_(False)


def whole(text: Tensor) -> Tensor:
    return torch.tensor([text.shape[1]] * len(text))


def inputs(*codes: int) -> Tensor:
    return torch.tensor([[SPEECH_START, *codes]])


def test_special_ids_are_those_of_the_release() -> None:
    special = SpecialIds.of(VITA_1_5.speech_decoder)
    assert (special.text_start, special.speech_start, special.speech_end, special.padding) == (1024, 1025, 1026, 1027)
    assert special.unspeakable == (1024, 1025, 1027)


def test_the_full_decoder_has_the_published_size() -> None:
    with torch.device("meta"):
        decoder = SpeechDecoder(VITA_1_5.speech_decoder)
    table = decoder.embed_tokens.weight.numel()
    assert table == 152_064 * 3584
    assert sum(p.numel() for p in decoder.parameters()) - table == 99_569_028


def test_names_and_shapes_are_those_of_the_release() -> None:
    with torch.device("meta"):
        state = SpeechDecoder(VITA_1_5.speech_decoder).state_dict()
    assert state["embedding.weight"].shape == (1028, 896)
    assert state["out_fnn.weight"].shape == (1028, 896)
    assert state["layers.3.mlp.gate_proj.weight"].shape == (4864, 896)
    assert "layers_pre_nn.1.self_attn.q_proj.weight" in state
    assert "layers_pre_nn.2.self_attn.q_proj.weight" not in state
    assert "layers.0.self_attn.q_proj.bias" not in state


def test_a_text_row_becomes_consecutive_subframes(decoder: SpeechDecoder) -> None:
    subframes = decoder.embed_text(TEXT[0])
    row = decoder.embed_tokens.weight[14]
    assert subframes.shape == (10, 192)
    assert torch.equal(subframes[2], row[:192])
    assert torch.equal(subframes[3], row[192:])


def test_a_width_that_does_not_divide_a_text_row_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        SpeechDecoder(dataclasses.replace(TINY.speech_decoder, hidden=100, heads=4))


def test_the_text_block_starts_with_text_start(decoder: SpeechDecoder) -> None:
    block = decoder.text_block(TEXT)
    assert block.shape == (1, 11, 192)
    assert torch.equal(block[0, 0], decoder.embedding.weight[1024])


def test_the_prefill_is_bidirectional(decoder: SpeechDecoder) -> None:
    """A causal prefill gives other logits at speech start, and the last word reaches the first position."""
    block = decoder.text_block(TEXT)
    x = torch.cat([block, decoder.embedding(inputs())], 1)
    positions = torch.arange(12)[None]
    mask = sequence_mask(torch.tensor([11]), 11, 1)
    assert mask[0, 0, :11, :11].all()
    causal = torch.ones(1, 1, 12, 12, dtype=torch.bool).tril()
    right = decoder.logits(decoder.run_layers(x, positions, mask)[:, -1])
    wrong = decoder.logits(decoder.run_layers(x, positions, causal)[:, -1])
    assert torch.allclose(right, decoder(TEXT, whole(TEXT), inputs())[:, 0], atol=1e-5)
    assert (right - wrong).abs().max() > 1e-3


def test_the_pre_layers_are_bidirectional_and_unnormalised(decoder: SpeechDecoder) -> None:
    subframes = decoder.embed_text(TEXT)
    other = subframes.clone()
    other[0, -1] += 1.0
    assert (decoder.pre(subframes) - decoder.pre(other))[0, 0].abs().max() > 1e-6


def test_codes_see_the_past_only(decoder: SpeechDecoder) -> None:
    a = decoder(TEXT, whole(TEXT), inputs(5, 6, 7, 8))
    b = decoder(TEXT, whole(TEXT), inputs(5, 6, 9, 8))
    assert torch.allclose(a[:, :3], b[:, :3], atol=1e-6)
    assert not torch.allclose(a[:, 3], b[:, 3], atol=1e-6)


def test_text_does_not_see_codes() -> None:
    mask = sequence_mask(torch.tensor([3]), 4, 2)[0, 0].int().tolist()
    assert mask == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 1, 0],
        [1, 1, 1, 0, 1, 1],
    ]


def test_padding_in_a_batch_changes_nothing(decoder: SpeechDecoder) -> None:
    text = torch.tensor([[3, 14, 15, 92, 65], [7, 8, 0, 0, 0]])
    codes = torch.tensor([[SPEECH_START, 1, 2, 3], [SPEECH_START, 4, 5, 1027]])
    together = decoder(text, torch.tensor([5, 2]), codes)
    alone = decoder(text[1:, :2], torch.tensor([2]), codes[1:, :3])
    assert torch.allclose(together[1, :3], alone[0], atol=1e-5)


def test_positions_run_on_from_the_text(decoder: SpeechDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text start 0, sub-frames 1 to 10, speech start 11; the pre layers count from 0 again."""
    seen: list[list[int]] = []
    rotary = decoder.rotary_emb.forward

    def spy(x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(position_ids[0].tolist())
        return rotary(x, position_ids)

    monkeypatch.setattr(decoder.rotary_emb, "forward", spy)
    decoder(TEXT, whole(TEXT), inputs(1, 2))
    assert seen == [list(range(10)), list(range(14))]


def test_stepwise_generation_equals_one_teacher_forced_pass(decoder: SpeechDecoder) -> None:
    codes, _ = decoder.generate(TEXT[0])
    logits = decoder(TEXT, whole(TEXT), inputs(*codes))[0]
    logits[:, [1024, 1025, 1027]] = -torch.inf
    assert logits[: len(codes)].argmax(-1).tolist() == codes


def test_sampling_repeats_with_its_seed_and_stays_among_the_top_two(decoder: SpeechDecoder) -> None:
    first, second = (decoder.generate(TEXT[0], torch.Generator().manual_seed(7))[0] for _ in range(2))
    assert first == second
    logits = decoder(TEXT, whole(TEXT), inputs(*first))[0]
    logits[:, [1024, 1025, 1027]] = -torch.inf
    best = logits.topk(2).indices.tolist()
    assert all(code in allowed for code, allowed in zip(first, best, strict=False))


def test_unspeakable_ids_are_never_chosen_and_generation_ends_at_the_limit() -> None:
    torch.manual_seed(0)
    decoder = SpeechDecoder(dataclasses.replace(TINY.speech_decoder, max_codes=12)).eval().requires_grad_(False)
    decoder.out_fnn.bias[[1024, 1025, 1027]] = 1e3
    decoder.out_fnn.bias[1026] = -1e3
    codes, is_ended = decoder.generate(TEXT[0])
    assert len(codes) == 12
    assert not is_ended
    assert max(codes) < 1024


def test_speech_end_ends_generation() -> None:
    decoder = SpeechDecoder(TINY.speech_decoder).eval().requires_grad_(False)
    decoder.out_fnn.bias[1026] = 1e3
    assert decoder.generate(TEXT[0]) == ([], True)
