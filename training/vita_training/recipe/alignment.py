"""Two side lessons, thrown away afterwards: what is seen and heard should look like its words.

An embedding of a picture should resemble the words for the colour, shape, place and size in its cell, or one word more
where nothing is, and the embeddings of speech, read by CTC, the words that were said. The language model then needs no
separate way of matching each word with each sight and sound: without this lesson it was still
guessing which thing was meant after 1,700 steps (training/LOG.md).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vita15.tokenizer import Tokenizer
from vita_training.data.media import LABELS
from vita_training.recipe.assistant import Embedded
from vita_training.recipe.echo import spoken_ids

EMPTY_WORDS = ("at", "on", "in", "the")  # say nothing about where a place is
# Of the cosines, at the start. A word is told from 1,500: 8 leaves none a share over two thirds, and the loss of speech
# in stage 2.1b then stood at 7.6 a word after 300 steps; with 20, at 3.0.
SHARPNESS = {"sights": 8.0, "words": 20.0}
EMPTY_WEIGHT = 0.2  # of a cell where nothing is: there are ten times as many


class Alignment(nn.Module):
    """Compares embeddings with rows of the text table, by cosine. Classes of speech are tokens, 0 the blank."""

    def __init__(self, tokenizer: Tokenizer, width: int) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        # Of each label the tokens of its classes, a phrase's meaningful words together.
        self._labels = [[self._meaningful(phrase) for phrase in kinds] for kinds in LABELS]
        self.blank = nn.Parameter(torch.randn(1, width))
        self.nothing = nn.Parameter(torch.randn(1, width))  # what is said where nothing is
        self.sharpness = nn.ParameterDict({name: torch.tensor(value) for name, value in SHARPNESS.items()})

    def forward(self, embedded: Embedded, table: Tensor) -> dict[str, Tensor]:
        """The losses of a batch, by name; `table` is the text's, (vocab, width)."""
        losses: dict[str, Tensor] = {}
        if embedded.seen is not None and embedded.labels is not None:
            losses["sights"] = self.picture_loss(embedded.seen, embedded.labels, table)
        if embedded.heard is not None and embedded.counts is not None:
            embedded.words = self.word_logits(embedded.heard, table)
            losses["words"] = self.speech_loss(embedded.words, embedded.counts, embedded.said)
        return losses

    def picture_loss(self, embeddings: Tensor, labels: Tensor, table: Tensor) -> Tensor:
        """Cross-entropy of the words in each cell: embeddings (n, width), labels (n, 4) with 0 for nothing."""
        loss = embeddings.new_zeros((), dtype=torch.float32)
        for phrases, target in zip(self._labels, labels.unbind(-1), strict=True):
            words = torch.cat([self.nothing, *(table[ids].float().mean(0, keepdim=True) for ids in phrases)])
            logits = self.sharpness["sights"] * _cosines(embeddings, words)
            weights = torch.full((len(words),), 1.0, device=logits.device)
            weights[0] = EMPTY_WEIGHT
            loss = loss + functional.cross_entropy(logits, target, weights)
        return loss

    def word_logits(self, embeddings: Tensor, table: Tensor) -> Tensor:
        """How like each word each embedding of speech is: (B, T, width) → (B, T, classes)."""
        return self.sharpness["words"] * _cosines(embeddings, torch.cat([self.blank, table]))

    def speech_loss(self, logits: Tensor, counts: Tensor, said: list[str]) -> Tensor:
        """CTC of what is said in each clip, nothing for noise: logits (B, T, classes)."""
        targets = [[token + 1 for token in spoken_ids(self.tokenizer, text)] for text in said]
        return ctc(logits, counts, targets)

    def _meaningful(self, phrase: str) -> list[int]:
        words = [word for word in phrase.split() if word not in EMPTY_WORDS]
        return [token for word in words for token in self.tokenizer.encode(f" {word}")]


def ctc(
    logits: Tensor, lengths: Tensor, targets: list[list[int]], *, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """CTC over (B, T, classes), blank 0; for the mean a clip's loss is divided by its target's length."""
    return functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        torch.tensor([unit for target in targets for unit in target], dtype=torch.long, device=logits.device),
        lengths.cpu(),  # as a GPU's CTC wants lengths, and targets where the logits are
        torch.tensor([len(target) for target in targets]),
        reduction=reduction,
        zero_infinity=True,
    )


def _cosines(rows: Tensor, words: Tensor) -> Tensor:
    return functional.normalize(rows.float(), dim=-1) @ functional.normalize(words.float(), dim=-1).t()
