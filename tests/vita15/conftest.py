"""Tiny models with fixed random weights, one torch thread."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vita15.config import TINY
from vita15.speech_encoder import SpeechEncoder
from vita15.tokenizer import Tokenizer, byte_level_tokenizer


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    byte_level_tokenizer(TINY.llm.vocab).save(str(path))
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_file: Path) -> Tokenizer:
    return Tokenizer.from_file(tokenizer_file)


@pytest.fixture(scope="session")
def speech_encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    encoder = SpeechEncoder(TINY.speech_encoder).eval()
    encoder.set_normalisation(torch.full((80,), 12.0), torch.full((80,), 3.0))
    return encoder


@pytest.fixture
def sound() -> torch.Tensor:
    """Eight seconds of something like speech: noise whose loudness moves. (S,) float32."""
    generator = torch.Generator().manual_seed(1)
    loudness = torch.randn(81, generator=generator).abs().repeat_interleave(1600)
    return 0.05 * loudness * torch.randn(len(loudness), generator=generator)
