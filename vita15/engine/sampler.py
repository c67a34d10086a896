"""Choosing tokens: greedy, by temperature, or among the best k; chance depends on (seed, step) and nothing else.

No generator is carried along, so neither the other sequences of a batch, nor a restart, nor a replay from the middle
changes what a seed gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def uniform(seed: int, step: int) -> float:
    """Return a number in [0, 1) for this step: SplitMix64 of the two (Source: Steele, Lea, Flood 2014)."""
    mixed = _splitmix(_splitmix(seed & _MASK) ^ (step & _MASK))
    return (mixed >> 11) / (1 << 53)


def sample_temperature(logits: Tensor, temperature: float, seed: int, step: int) -> int:
    """Choose from (vocab,): the best at temperature 0, else by chance."""
    if temperature <= 0:
        return int(logits.argmax())
    cumulative = torch.softmax(logits.double() / temperature, dim=-1).cumsum(-1)
    chosen = torch.searchsorted(cumulative, uniform(seed, step) * float(cumulative[-1]), right=True)
    return min(int(chosen), logits.shape[-1] - 1)


def sample_top_k(logits: Tensor, k: int, noise: Sequence[float]) -> list[int]:
    """Choose one of the best `k` of each row by its probability among them.

    Args:
        logits: (batch, vocab).
        k: how many are considered.
        noise: one number in [0, 1) a row.
    """
    best, indices = logits.topk(k, dim=-1)
    cumulative = torch.softmax(best, dim=-1).cumsum(-1).tolist()
    choices = indices.tolist()
    return [
        row[min(sum(edge <= u for edge in edges), k - 1)]
        for row, edges, u in zip(choices, cumulative, noise, strict=True)
    ]


def _splitmix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
