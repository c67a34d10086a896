"""A third side lesson: where to look while saying a colour, a shape or a place.

Each such word of an answer is about one thing, and each thing is gathered in one known cell of the picture
(vita_training.seeing.labels). One head of each key group in LOOKING_LAYER is taught to look there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention, apply_rotary_pos_emb

from vita15.tokenizer import Tokenizer
from vita_training.world.scenes import COLOURS, PLACES, SHAPES

LOOKING_LAYER = 2  # of four: what is asked is gathered below it, what was seen is said above it


@dataclass(frozen=True, slots=True)
class Looks:
    """Where a batch should look: n pairs of a position that is about to say a word and the position of its thing."""

    rows: list[int]
    queries: list[int]
    keys: list[int]


class Describer:
    """Finds the thing that each word of an answer is about."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        places = [place.split()[-1] for place in PLACES]
        self._meanings = {
            tokenizer.encode(f" {word}")[0]: (attribute, index + 1)
            for attribute, words in enumerate((COLOURS, SHAPES, places))
            for index, word in enumerate(words)
        }
        self._prepositions = {tokenizer.encode(f" {place.split()[0]}")[0] for place in PLACES}
        self._breaks = {tokenizer.encode(text)[0] for text in (".", ",", " and")}

    def cells(self, answer: list[int], labels: Tensor) -> list[tuple[int, int]]:
        """Pair the index of each meaningful token with the row of `labels` (n, 3) that shows what it speaks of."""
        shown = [(cell, label) for cell, label in enumerate(labels.tolist()) if label[0]]
        found: list[tuple[int, int]] = []
        segment: list[int] = []
        for index, token in enumerate([*answer, *list(self._breaks)[:1]]):
            if token in self._meanings:
                segment.append(index)
            if token in self._breaks:
                meant = [self._meanings[answer[i]] for i in segment]
                cells = [cell for cell, label in shown if all(label[a] == value for a, value in meant)]
                if len(cells) == 1:
                    found += [(i, cells[0]) for i in self._with_prepositions(answer, segment)]
                segment = []
        return found

    def _with_prepositions(self, answer: list[int], indices: list[int]) -> list[int]:
        """Add the word two before a place: "on the left" is decided at "on"."""
        before = [i - 2 for i in indices if i >= 2 and answer[i - 2] in self._prepositions]
        return sorted({*indices, *before})


def looking_loss(attention: Qwen2Attention, normed: Tensor, rotary: tuple[Tensor, Tensor], looks: Looks) -> Tensor:
    """Cross-entropy of where one head of each key group looks; `normed` is the layer's normed input, (B, T, hidden)."""
    queries = attention.q_proj(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
    keys = attention.k_proj(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
    queries, keys = apply_rotary_pos_emb(queries, keys, *rotary)
    rows, at = torch.tensor(looks.rows), torch.tensor(looks.queries)
    chosen = queries[rows, :: attention.num_key_value_groups, at]  # (n, groups, head_dim)
    scores = torch.einsum("ngd,ngtd->ngt", chosen.float(), keys.float()[rows]) * attention.scaling
    is_later = torch.arange(normed.shape[1]) > at[:, None]
    scores = scores.masked_fill(is_later[:, None], -1e9)
    targets = torch.tensor(looks.keys)[:, None].expand(-1, scores.shape[1])
    return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
