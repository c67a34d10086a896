"""Attention over ragged batches, registered with transformers under the name `vita_ragged`.

All sequences of a step are laid end to end as one row of the batch, so the projections see one large matrix product;
attention alone runs sequence by sequence against that sequence's slot. What a sequence attends to is thereby computed
in the same way whoever else is in the batch. Query heads that share a key head are taken as further queries, which
spares repeating the keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import AttentionInterface

from vita15.engine.kv_cache import RaggedBatch

NAME = "vita_ragged"


def ragged_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    ragged: RaggedBatch | None = None,
    **kwargs: Any,  # noqa: ANN401 - whatever transformers passes on
) -> tuple[Tensor, None]:
    """Attend every sequence of `ragged` to its slot; without a batch, as transformers' `sdpa` does.

    Returns:
        (1, rows, heads, head_dim), and no weights.
    """
    if ragged is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    layer = cast(int, module.layer_idx)
    heads, kv_heads, head_dim = query.shape[1], key.shape[1], query.shape[3]
    groups = heads // kv_heads
    by_row = query.transpose(1, 2).view(-1, kv_heads, groups, head_dim)  # (rows, kv_heads, groups, head_dim)
    outputs: list[Tensor] = []
    row = 0
    for index, span in enumerate(ragged.spans):
        length = span.slot.length + span.rows
        keys, values = span.slot.keys[layer][:, :, :length], span.slot.values[layer][:, :, :length]
        rows = by_row[row : row + span.rows]
        if span.rows == 1:
            outputs.append(scaled_dot_product_attention(rows, keys, values, scale=scaling))
        else:
            packed = rows.permute(1, 2, 0, 3).reshape(1, kv_heads, groups * span.rows, head_dim)
            mask = ragged.mask(index, groups)
            seen = scaled_dot_product_attention(packed, keys, values, attn_mask=mask, scale=scaling)
            outputs.append(seen.view(kv_heads, groups, span.rows, head_dim).permute(2, 0, 1, 3))
        row += span.rows
    joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return joined.reshape(1, -1, heads, head_dim), None


class RotaryTable:
    """Cosines and sines of every position, computed once by the model's own rotary module."""

    def __init__(self, rotary: nn.Module, position_count: int, *, like: Tensor) -> None:
        indices = torch.arange(position_count, device=like.device)[None]
        with torch.inference_mode():
            cos, sin = cast(tuple[Tensor, Tensor], rotary(like, indices))
        self._cos, self._sin = cos[0], sin[0]  # (positions, head_dim)

    def rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return (1, rows, head_dim) twice."""
        return self._cos[indices][None], self._sin[indices][None]


def run_layers(
    layers: Iterable[nn.Module], hidden: Tensor, rotary: tuple[Tensor, Tensor], batch: RaggedBatch
) -> Tensor:
    """Run transformers' decoder layers over a ragged batch: (1, rows, width) → (1, rows, width)."""
    for layer in layers:
        hidden = cast(Tensor, layer(hidden, position_embeddings=rotary, past_key_values=batch, ragged=batch))
    batch.commit()
    return hidden


AttentionInterface.register(NAME, ragged_attention)
