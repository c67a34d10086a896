"""Transcription: the vectors stand before the clip, and the words are what the model answers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from vita15.config import TINY
from vita15.llm import build_llm
from vita15.speech_encoder import SpeechEncoder
from vita15.tokenizer import IM_END, Tokenizer, byte_level_tokenizer
from vita15.transcription import MAX_TOKENS, around_clip, transcribe

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(byte_level_tokenizer(TINY.llm.vocab))


def test_words_depend_on_the_clip_and_on_the_vectors(tokenizer: Tokenizer, sound: Tensor) -> None:
    torch.manual_seed(0)
    speech = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, prompt_count=4)).eval()
    llm = build_llm(TINY.llm).eval()
    torch.nn.init.normal_(llm.model.embed_tokens.weight)
    assert speech.prompt is not None

    def said(samples: Tensor) -> str:
        return transcribe(speech, llm, tokenizer, samples, system="Be kind.", mode="stream")

    first = said(sound[:16_000])
    assert first == said(sound[:16_000])
    assert first != said(sound[16_000:48_000])
    speech.prompt.weight.data.mul_(-3)
    assert first != said(sound[:16_000])


@pytest.mark.parametrize(("token", "said"), [("a", "a" * MAX_TOKENS), (IM_END, "")])
def test_it_ends_with_the_models_turn_or_at_the_limit(
    tokenizer: Tokenizer, sound: Tensor, token: str, said: str
) -> None:
    speech = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, prompt_count=4)).eval()
    llm = build_llm(TINY.llm).eval()
    (always,) = tokenizer.encode(token, allow_special=True)
    torch.nn.init.zeros_(llm.lm_head.weight)
    llm.lm_head.register_forward_hook(lambda _, __, logits: logits.index_fill(-1, torch.tensor([always]), 1.0))
    assert transcribe(speech, llm, tokenizer, sound[:16_000], system="", mode="full") == said


def test_without_vectors_there_is_no_transcription(tokenizer: Tokenizer, sound: Tensor) -> None:
    speech = SpeechEncoder(dataclasses.replace(TINY.speech_encoder, prompt_count=0))
    with pytest.raises(ValueError, match="prompt_count is 0"):
        transcribe(speech, build_llm(TINY.llm), tokenizer, sound[:8000], system="", mode="full")


def test_the_clip_stands_in_a_users_turn(tokenizer: Tokenizer) -> None:
    before, behind = around_clip(tokenizer, "Be kind.")
    assert tokenizer.decode(before) == "system\nBe kind.\nuser\n"
    assert behind[-1] == tokenizer.special.speech
