"""The full model has the published number of parameters, to the unit (docs/model.md)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vita15.config import TINY, VITA_1_5
from vita15.llm import build_llm
from vita15.speech_encoder import SpeechEncoder
from vita15.vision_encoder import VisionEncoder

pytestmark = pytest.mark.unit


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_vision_encoder_has_the_published_size() -> None:
    with torch.device("meta"):
        encoder = VisionEncoder(VITA_1_5.vision_encoder)
    assert count(encoder.tower) == 304_012_288
    assert count(encoder.projector) == 27_532_288
    assert VITA_1_5.vision_encoder.tokens_per_tile == 256


def test_the_speech_encoder_has_the_published_size() -> None:
    with torch.device("meta"):
        encoder = SpeechEncoder(VITA_1_5.speech_encoder)
    assert count(encoder) - count(encoder.adapter) == 357_950_464
    assert count(encoder.adapter) == 17_835_520


def test_the_language_model_has_the_published_size() -> None:
    with torch.device("meta"):
        model = build_llm(VITA_1_5.llm)
    assert count(model) == 7_615_616_512


def test_the_three_together_have_the_published_size() -> None:
    with torch.device("meta"):
        parts = (
            VisionEncoder(VITA_1_5.vision_encoder),
            SpeechEncoder(VITA_1_5.speech_encoder),
            build_llm(VITA_1_5.llm),
        )
    assert sum(count(part) for part in parts) == 8_322_947_072


def test_all_encoders_meet_the_language_model_in_one_width() -> None:
    for config in (VITA_1_5, TINY):
        assert config.vision_encoder.embed == config.speech_encoder.embed == config.llm.hidden


def test_full_size_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        tiles = VisionEncoder(VITA_1_5.vision_encoder).eval()(torch.zeros(13, 3, 448, 448))
        speech, _ = SpeechEncoder(VITA_1_5.speech_encoder).eval()(torch.zeros(1, 352, 80), torch.tensor([352]))
        logits = build_llm(VITA_1_5.llm)(inputs_embeds=torch.zeros(1, 10, 3584)).logits
    assert tiles.shape == (13, 256, 3584)
    assert speech.shape == (1, 44, 3584)
    assert logits.shape == (1, 10, 152_064)
