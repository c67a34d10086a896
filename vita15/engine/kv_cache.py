"""Keys and values of many sequences, each in a slot of its own that lives as long as its sequence.

A slot is one block of memory for the longest allowed sequence: the system gives its pages only when they are written,
so an almost empty slot costs almost nothing, attention reads it without gathering, and forgetting is setting a length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Sizes of one sequence's cache."""

    layers: int
    kv_heads: int
    head_dim: int
    capacity: int  # tokens


class KvSlot:
    """Keys and values of one sequence; `length` tokens of them count."""

    __slots__ = ("capacity", "keys", "length", "values")

    def __init__(self, shape: CacheShape, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        size = (1, shape.kv_heads, shape.capacity, shape.head_dim)
        self.keys = [torch.empty(size, dtype=dtype, device=device) for _ in range(shape.layers)]
        self.values = [torch.empty(size, dtype=dtype, device=device) for _ in range(shape.layers)]
        self.capacity = shape.capacity
        self.length = 0


@dataclass(slots=True)
class Span:
    """One sequence's share of a step."""

    slot: KvSlot
    rows: int  # new tokens in this step
    is_bidirectional: bool = False  # the new tokens see each other whole; only for the first rows of a sequence


class RaggedBatch:
    """New rows of several sequences laid end to end, as the `past_key_values` of transformers' layers.

    `update` writes every sequence's rows behind what its slot holds; `commit` counts them in, once all layers ran.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self._masks: dict[int, Tensor | None] = {}

    def update(self, key: Tensor, value: Tensor, layer_index: int, *_: object) -> tuple[Tensor, Tensor]:
        """Store (1, kv_heads, rows, head_dim) of every sequence; return the arguments."""
        row = 0
        for span in self.spans:
            start, end = span.slot.length, span.slot.length + span.rows
            span.slot.keys[layer_index][:, :, start:end] = key[:, :, row : row + span.rows]
            span.slot.values[layer_index][:, :, start:end] = value[:, :, row : row + span.rows]
            row += span.rows
        return key, value

    def commit(self) -> None:
        """Count the new rows in."""
        for span in self.spans:
            span.slot.length += span.rows

    def mask(self, index: int, groups: int) -> Tensor | None:
        """Return what the rows of span `index` see: (groups × rows, length) bool, or None for everything."""
        if index not in self._masks:
            self._masks[index] = _causal_mask(self.spans[index], groups)
        return self._masks[index]


def positions(spans: Sequence[Span]) -> list[int]:
    """Return the position of every row of a step, sequences end to end."""
    return [p for span in spans for p in range(span.slot.length, span.slot.length + span.rows)]


def _causal_mask(span: Span, groups: int) -> Tensor | None:
    if span.rows == 1 or span.is_bidirectional:
        return None
    start, device = span.slot.length, span.slot.keys[0].device
    keys = torch.arange(start + span.rows, device=device)
    queries = torch.arange(start, start + span.rows, device=device)
    return (keys[None, :] <= queries[:, None]).repeat(groups, 1)
