"""A side lesson: where to look while saying a colour, a shape, a place or a size.

Each such word of an answer is about one thing, and each thing is gathered in one known cell of the picture, or of each
frame of a video (vita_training.data.media). One head in each of two layers is taught to look there. Only the small
world's pictures say what they show, and only the tiny model is taught by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vita15.tokenizer import Tokenizer
from vita_training.data.media import LABELS, Sight

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
        meanings = {
            tuple(tokenizer.encode(f" {phrase}")): (attribute, index + 1)
            for attribute, phrases in enumerate(LABELS)
            for index, phrase in enumerate(phrases)
        }
        # Longest first: "at the top" is another place than "at the top left".
        self._meanings = sorted(meanings.items(), key=lambda item: -len(item[0]))
        self._breaks = {tokenizer.encode(text)[0] for text in (".", ",", " and")}

    def looks(self, ids: Sequence[int], begin: int, start: int, sight: Sight) -> list[Look]:
        """Say where to look, in what is seen from position `start` on, while the answer from `begin` on is said."""
        if sight.labels is None:
            return []
        found = self.cells(list(ids[begin:]), sight.labels)
        return [Look(begin + index - 1, tuple(start + cell for cell in cells)) for index, cells in found]

    def cells(self, answer: list[int], labels: Tensor) -> list[tuple[int, tuple[int, ...]]]:
        """Pair the index of each meaningful token with the rows of `labels` (n, 4) that show what it may speak of."""
        shown = [(cell, label) for cell, label in enumerate(labels.tolist()) if label[0]]
        found: list[tuple[int, tuple[int, ...]]] = []
        segment: list[tuple[int, tuple[int, int]]] = []  # indices of tokens, and what each means
        index = 0
        while index <= len(answer):
            if segment and (index == len(answer) or answer[index] in self._breaks):
                cells = tuple(cell for cell, label in shown if all(label[a] == value for _, (a, value) in segment))
                found += [(i, cells) for i, _ in segment if cells]
                segment = []
            phrase, meaning = self._phrase(answer, index)
            segment += [(index + i, meaning) for i in range(phrase)]
            index += max(1, phrase)
        return found

    def _phrase(self, answer: list[int], index: int) -> tuple[int, tuple[int, int]]:
        """Length and meaning of the phrase that begins here; length 0 if none does."""
        for tokens, meaning in self._meanings:
            if tuple(answer[index : index + len(tokens)]) == tokens:
                return len(tokens), meaning
        return 0, (0, 0)


def looking_loss(attentions: Sequence[Tensor], looks: list[tuple[int, Look]]) -> Tensor:
    """How little the taught heads look where they should: −log of the attention on the right cells, summed over heads.

    Args:
        attentions: of each layer, (B, heads, T, T).
        looks: with the row of the batch that each belongs to; at least one.
    """
    most = max(len(look.keys) for _, look in looks)
    rows, queries = torch.tensor([row for row, _ in looks]), torch.tensor([look.query for _, look in looks])
    device = attentions[0].device
    keys = torch.tensor([[*look.keys, *look.keys[:1] * (most - len(look.keys))] for _, look in looks]).to(device)
    counts = torch.tensor([[1.0] * len(look.keys) + [0.0] * (most - len(look.keys)) for _, look in looks]).to(device)
    loss = attentions[0].new_zeros((), dtype=torch.float32)
    for layer, head in LOOKING_HEADS:
        weights = attentions[layer][rows, head, queries].float()  # (n, T)
        loss = loss - ((weights.gather(1, keys) * counts).sum(1) + _LEAST).log().mean()
    return loss
