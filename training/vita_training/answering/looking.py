"""A third side lesson: where to look while saying a colour, a shape or a place.

Each such word of an answer is about one thing, and each thing is gathered in one known cell of the picture
(vita_training.seeing.labels). One head in each of two layers is taught to look there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vita15.tokenizer import Tokenizer
from vita_training.world.scenes import COLOURS, PLACES, SHAPES

# Layer and head that are taught, of four layers and six heads: what is asked is gathered below, what was seen is said
# above or in the same layer.
LOOKING_HEADS = ((2, 0), (3, 3))
_LEAST = 1e-5  # keeps the loss of a head that looks entirely elsewhere finite


@dataclass(frozen=True, slots=True)
class Look:
    """Where to look before a word is said."""

    query: int  # the position that is about to say the word
    keys: tuple[int, ...]  # positions of the things that it may be about; one is enough


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

    def cells(self, answer: list[int], labels: Tensor) -> list[tuple[int, tuple[int, ...]]]:
        """Pair the index of each meaningful token with the rows of `labels` (n, 3) that show what it may speak of."""
        shown = [(cell, label) for cell, label in enumerate(labels.tolist()) if label[0]]
        found: list[tuple[int, tuple[int, ...]]] = []
        segment: list[int] = []
        for index, token in enumerate([*answer, *list(self._breaks)[:1]]):
            if token in self._meanings:
                segment.append(index)
            if token in self._breaks and segment:
                meant = [self._meanings[answer[i]] for i in segment]
                cells = tuple(cell for cell, label in shown if all(label[a] == value for a, value in meant))
                found += [(i, cells) for i in self._with_prepositions(answer, segment) if cells]
                segment = []
        return found

    def _with_prepositions(self, answer: list[int], indices: list[int]) -> list[int]:
        """Add the word two before a place: "on the left" is decided at "on"."""
        before = [i - 2 for i in indices if i >= 2 and answer[i - 2] in self._prepositions]
        return sorted({*indices, *before})


def looking_loss(attentions: Sequence[Tensor], looks: list[tuple[int, Look]]) -> Tensor:
    """How little the taught heads look where they should: −log of the attention on the right cells, summed over heads.

    Args:
        attentions: of each layer, (B, heads, T, T).
        looks: with the row of the batch that each belongs to; at least one.
    """
    most = max(len(look.keys) for _, look in looks)
    rows, queries = torch.tensor([row for row, _ in looks]), torch.tensor([look.query for _, look in looks])
    keys = torch.tensor([[*look.keys, *look.keys[:1] * (most - len(look.keys))] for _, look in looks])
    counts = torch.tensor([[1.0] * len(look.keys) + [0.0] * (most - len(look.keys)) for _, look in looks])
    loss = attentions[0].new_zeros((), dtype=torch.float32)
    for layer, head in LOOKING_HEADS:
        weights = attentions[layer][rows, head, queries].float()  # (n, T)
        loss = loss - ((weights.gather(1, keys) * counts).sum(1) + _LEAST).log().mean()
    return loss
