"""The language model: transformers' Qwen2 as it is, with an output table of its own (docs/model.md, 3).

Engines drive it through a cache and an attention function of their own; training calls it as any transformers model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM, Qwen2RotaryEmbedding

from vita15.checkpoint import load_manifest, load_state
from vita15.config import LlmConfig
from vita15.errors import CheckpointError


def qwen2_config(config: LlmConfig, *, attention: str = "sdpa") -> Qwen2Config:
    """Say our sizes in transformers' words; `attention` names a function registered with transformers."""
    # Read by the attention layers, but not among the declared fields of this configuration class.
    undeclared: dict[str, Any] = {"head_dim": config.head_dim, "attn_implementation": attention}
    return Qwen2Config(
        vocab_size=config.vocab,
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=False,
        use_sliding_window=False,
        **undeclared,
    )


def build_llm(config: LlmConfig, *, attention: str = "sdpa") -> Qwen2ForCausalLM:
    """Build the model with fresh weights (on the default device: `with torch.device("meta")` costs no memory)."""
    return Qwen2ForCausalLM(qwen2_config(config, attention=attention))


def load_llm(folder: Path, *, attention: str = "sdpa", dtype: torch.dtype = torch.float32) -> Qwen2ForCausalLM:
    """Load a checkpoint without initialising first, so that the full model needs its memory once.

    Raises:
        CheckpointError: the folder holds no language model, or its weights do not fit the configuration.
    """
    config = load_manifest(folder).component_config()
    if not isinstance(config, LlmConfig):
        raise CheckpointError(f"{folder}: not a language model")
    with torch.device("meta"):
        model = build_llm(config, attention=attention)
    try:
        model.load_state_dict(load_state(folder, dtype=dtype), strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    # The rotary table is no weight: it was left on the meta device, so it is computed here.
    model.model.rotary_emb = Qwen2RotaryEmbedding(model.config)
    return model.eval()


def embed(model: Qwen2ForCausalLM, ids: Tensor) -> Tensor:
    """Look text tokens up: (…) int64 → (…, hidden)."""
    return cast(Tensor, model.model.embed_tokens(ids))
