"""Tiny models with random weights: laws of the engines hold for any weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from vita15.config import TINY
from vita15.llm import build_llm
from vita15.speech_decoder import SpeechDecoder
from vita15.speech_encoder import SpeechEncoder
from vita15.tokenizer import Tokenizer, byte_level_tokenizer
from vita15.vision_encoder import VisionEncoder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer(byte_level_tokenizer(TINY.llm.vocab))


@pytest.fixture(scope="session")
def llm() -> Qwen2ForCausalLM:
    torch.manual_seed(1)
    model = build_llm(TINY.llm)
    with torch.no_grad():  # transformers starts with weights so small that all logits are nearly equal
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    return model.eval()


@pytest.fixture(scope="session")
def speech_decoder() -> SpeechDecoder:
    torch.manual_seed(2)
    config = dataclasses.replace(TINY.speech_decoder, max_codes=120)
    return SpeechDecoder(config).eval()


@pytest.fixture(scope="session")
def vision_encoder() -> VisionEncoder:
    torch.manual_seed(3)
    return VisionEncoder(TINY.vision_encoder).eval()


@pytest.fixture(scope="session")
def speech_encoder() -> SpeechEncoder:
    torch.manual_seed(4)
    return SpeechEncoder(TINY.speech_encoder).eval()
