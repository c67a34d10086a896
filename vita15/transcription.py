"""Writing down what is said: the trainable vectors for transcription, the clip, and the words as the answer.

What stage 2.1b of the training teaches (docs/model.md, 2). The state mark before the words is given, not generated.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from vita15.chat_template import ChatTemplate
from vita15.fbank import fbank
from vita15.llm import embed
from vita15.speech_encoder import Mode, SpeechEncoder
from vita15.tokenizer import Tokenizer

MAX_TOKENS = 96  # of one clip; a minute of quick speech


def around_clip(tokenizer: Tokenizer, system: str) -> tuple[list[int], list[int]]:
    """Ids before the vectors and the clip, and those behind it, up to where the words begin."""
    template = ChatTemplate(tokenizer)
    before = [*template.turn("system", system), *template.opening("user")]
    return before, [*template.closing(), *template.opening("assistant"), tokenizer.special.speech]


@torch.inference_mode()
def transcribe(
    speech: SpeechEncoder, llm: Qwen2ForCausalLM, tokenizer: Tokenizer, samples: Tensor, *, system: str, mode: Mode
) -> str:
    """Write down (S,) float32 samples in [-1, 1] at 16 kHz, greedily; empty where nothing can be heard.

    Raises:
        ValueError: this speech encoder has no vectors for transcription.
    """
    if speech.prompt is None:
        raise ValueError("prompt_count is 0: this speech encoder has no vectors for transcription")
    features = fbank(samples)
    lengths = torch.tensor([len(features)])
    embeddings, _ = speech.with_prompt(*speech(features[None], lengths, mode))
    before, behind = (embed(llm, torch.tensor([ids])) for ids in around_clip(tokenizer, system))
    given = torch.cat([before, embeddings.to(before.dtype), behind], 1)
    cache, said = DynamicCache(), list[int]()
    while len(said) < MAX_TOKENS:
        out = llm(inputs_embeds=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token = int(cast(Tensor, out.logits)[0, -1].argmax())
        if token == tokenizer.im_end:
            break
        said.append(token)
        given = embed(llm, torch.tensor([[token]]))
    return tokenizer.decode(said)
