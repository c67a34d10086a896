"""How words, pictures and speech become one sequence for the language model, and what of it is learned.

A user's turn holds, in this order: its pictures, tile after tile with nothing between; one newline, if there was a
picture; its words; its speech. An answer begins with the token that judges the query (docs/model.md, 3.2 and 3.3).
Serving appends the same rows in the same order, one by one; training lays out whole conversations with this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vita15.chat_template import ChatTemplate
from vita15.tokenizer import Tokenizer
from vita15.tool_format import response_text

IGNORED = -100  # the label of a row that is not learned: what torch's cross-entropy skips
AFTER_PICTURES = "\n"


@dataclass(frozen=True, slots=True)
class Words:
    """Tokens, to be looked up in the model's table."""

    ids: list[int]
    is_learned: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Embeddings from an encoder: what counts of them, without padding."""

    values: Tensor  # (n, hidden)


Segment = Words | Rows


@dataclass(frozen=True, slots=True)
class Spliced:
    """One conversation, ready for the language model."""

    embeddings: Tensor  # (L, hidden)
    labels: Tensor  # (L,) int64, each row's own token or IGNORED; not shifted, as transformers wants it


@dataclass(frozen=True, slots=True)
class SplicedBatch:
    """Conversations padded on the right."""

    embeddings: Tensor  # (B, L, hidden)
    labels: Tensor  # (B, L) int64
    mask: Tensor  # (B, L) int64, 1 where there is something


class Splicer:
    """Lays out turns in one vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)

    def system_turn(self, text: str) -> list[Segment]:
        """Lay out the system prompt."""
        return [Words(self._template.turn("system", text))]

    def user_turn(
        self, text: str = "", *, pictures: Sequence[Tensor] = (), speech: Tensor | None = None
    ) -> list[Segment]:
        """Lay out a user's turn: pictures (n, hidden) each, words, speech (n, hidden)."""
        words = (AFTER_PICTURES if pictures else "", text)
        return [
            Words(self._template.opening("user")),
            *(Rows(picture) for picture in pictures),
            *(Words(self._tokenizer.encode(word)) for word in words if word),
            *(Rows(rows) for rows in (speech,) if rows is not None),
            Words(self._template.closing()),
        ]

    def tool_turn(self, text: str) -> list[Segment]:
        """Lay out what a tool said."""
        return [Words(self._template.turn("tool", response_text(text)))]

    def assistant_turn(self, text: str, state: str, *, is_learned: bool = True) -> list[Segment]:
        """Lay out an answer: the judgement (`speech`, `text` or `noise`), the words, calls and the end are learned."""
        said = [self._tokenizer.state_ids[state], *self._tokenizer.encode_answer(text), self._tokenizer.im_end]
        return [
            Words(self._template.opening("assistant")),
            Words(said, is_learned=is_learned),
            Words(self._template.closing(is_end_said=True)),
        ]


def splice(segments: Sequence[Segment], table: nn.Embedding) -> Spliced:
    """Look the words up and join everything; gradients flow into the table and the rows."""
    device = table.weight.device
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    for segment in segments:
        if isinstance(segment, Rows):
            rows.append(segment.values)
            labels.append(torch.full((len(segment.values),), IGNORED, device=device))
            continue
        ids = torch.tensor(segment.ids, dtype=torch.int64, device=device)
        rows.append(table(ids))
        labels.append(ids if segment.is_learned else torch.full_like(ids, IGNORED))
    return Spliced(torch.cat(rows), torch.cat(labels))


def pad(conversations: Sequence[Spliced]) -> SplicedBatch:
    """Join conversations to one batch, zeros on the right."""
    labels = [one.labels for one in conversations]
    return SplicedBatch(
        embeddings=pad_sequence([one.embeddings for one in conversations], batch_first=True),
        labels=pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        mask=pad_sequence([torch.ones_like(one) for one in labels], batch_first=True),
    )
