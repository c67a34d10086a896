"""Two side lessons of the last stage, thrown away afterwards: what is seen and heard should look like its words.

An embedding of a picture should resemble the words for the colour, shape and place in its cell, and the embeddings of
speech, read by CTC, the words that were said. The language model then needs no separate way of matching each word with
each sight and sound: without this lesson it stayed for a thousand steps at guessing which thing was meant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vita15.tokenizer import Tokenizer
from vita_training.answering.embedded import Embedded
from vita_training.world.language import OPENINGS, questions
from vita_training.world.scenes import COLOURS, PLACES, SHAPES
from vita_training.world.small_talk import SMALL_TALK, STRANGE


class Alignment(nn.Module):
    """Compares embeddings with rows of the text table, by cosine."""

    word_ids: Tensor

    def __init__(self, tokenizer: Tokenizer, width: int) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        places = [place.split()[-1] for place in PLACES]
        self._labels = [[tokenizer.encode(f" {word}")[0] for word in words] for words in (COLOURS, SHAPES, places)]
        spoken = [*questions(), *(wording for wording, _ in SMALL_TALK), *STRANGE]
        spoken += [f"{opening} {text}" for opening in OPENINGS for text in spoken]
        known = sorted({token for text in spoken for token in spoken_ids(tokenizer, text)})
        self._classes = {token: index + 1 for index, token in enumerate(known)}
        self.register_buffer("word_ids", torch.tensor(known), persistent=False)
        self.blank = nn.Parameter(torch.randn(1, width))
        self.sharpness = nn.Parameter(torch.tensor([8.0, 8.0]))  # of pictures, of speech

    def forward(self, embedded: Embedded, table: Tensor) -> dict[str, Tensor]:
        """The losses of a batch, by name; `table` is the text's, (vocab, width)."""
        losses: dict[str, Tensor] = {}
        if embedded.pictures is not None and embedded.labels is not None:
            losses["sights"] = self.picture_loss(embedded.pictures, embedded.labels, table)
        if embedded.speech is not None and embedded.counts is not None:
            losses["words"] = self.speech_loss(embedded.speech, embedded.counts, embedded.said, table)
        return losses

    def picture_loss(self, embeddings: Tensor, labels: Tensor, table: Tensor) -> Tensor:
        """Cross-entropy of the words in each cell: embeddings (n, width), labels (n, 3) with 0 for nothing."""
        loss = embeddings.new_zeros(())
        for ids, target in zip(self._labels, labels.unbind(-1), strict=True):
            is_shown = target > 0
            if bool(is_shown.any()):
                logits = self.sharpness[0] * _cosines(embeddings[is_shown], table[ids])
                loss = loss + functional.cross_entropy(logits, target[is_shown] - 1)
        return loss

    def speech_loss(self, embeddings: Tensor, counts: Tensor, said: list[str], table: Tensor) -> Tensor:
        """CTC of what is said in each clip, nothing for noise: embeddings (B, T, width)."""
        words = torch.cat([self.blank, table[self.word_ids]])
        logits = self.sharpness[1] * _cosines(embeddings, words)
        targets = [[self._classes[token] for token in spoken_ids(self._tokenizer, text)] for text in said]
        loss = functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            torch.tensor([token for target in targets for token in target], dtype=torch.long),
            counts,
            torch.tensor([len(target) for target in targets]),
            zero_infinity=True,
        )
        return loss


def spoken_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Tokens of the words of a question, its punctuation left out."""
    return tokenizer.encode("".join(letter for letter in text if letter.isalpha() or letter == " "))


def _cosines(rows: Tensor, words: Tensor) -> Tensor:
    return functional.normalize(rows.float(), dim=-1) @ functional.normalize(words.float(), dim=-1).t()
