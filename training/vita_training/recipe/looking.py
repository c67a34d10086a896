"""A side lesson: where to look while saying a colour, a shape, a place or a size, and while counting.

(Where to listen while writing down what is said: listening.py. The heads of both are listed here.)

Each such word of an answer is about one thing, and each thing is gathered in one known cell of the picture, or of each
frame of a video (vita_training.data.media). One head in each of two layers is taught to look there.

How many there are cannot be told from a head that looks at them alone: its weights sum to one. So others are taught to
look evenly at all that are counted *and* at the conversation's first position, which then gets 1 of n + 1 parts: before
a number, and before the "Yes" or "No" that says whether there is any.

Whether and where something moved is told from two places: in a video each thing in the last frame is taught to look at
itself in the first, a layer below, and before the words for movement others look at the thing in the last frame.

Only the small world's pictures say what they show, and only the tiny model is taught by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vita15.tokenizer import Tokenizer
from vita_training.data.media import LABELS, Sight
from vita_training.world.things import SHAPES
from vita_training.world.topics.counts import COUNTED, PLURALS

Aim = Literal["thing", "count", "moved", "thing at first", "word", "word before"]
# Layer and head that are taught, of four layers and six heads: what is asked is gathered below, what was seen is said
# above or in the same layer.
HEADS: Mapping[Aim, tuple[tuple[int, int], ...]] = {
    "thing": ((2, 0), (3, 3)),
    "count": ((2, 1), (3, 4)),
    "moved": ((2, 4), (3, 2)),
    "thing at first": ((1, 3),),
    "word": ((2, 2), (3, 5)),
    "word before": ((1, 2),),
}
NUMBERS = (*COUNTED, "nothing")
MOVEMENTS = ("moved", "did", "not", "move", "up", "down", "to", "left", "right")
ANYTHING = ("shape", "shapes")  # is counted whatever it is
_LEAST = 1e-5  # keeps the loss of a head that looks entirely elsewhere finite


@dataclass(frozen=True, slots=True)
class Look:
    """Where to look before a word is said."""

    query: int  # the position that is about to say the word
    keys: tuple[int, ...]  # positions of the things that it may be about; one is enough, unless they are counted
    aim: Aim = "thing"  # "count": all the same, the first position among them


class Describer:
    """Finds the thing that each word of an answer is about."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        meanings = {
            tuple(tokenizer.encode(f" {phrase}")): (attribute, index + 1)
            for attribute, phrases in enumerate(LABELS)
            for index, phrase in enumerate(phrases)
        }
        meanings |= {
            tuple(tokenizer.encode(f" {plural}")): (LABELS.index(SHAPES), SHAPES.index(shape) + 1)
            for shape, plural in PLURALS.items()
        }
        # Longest first: "at the top" is another place than "at the top left".
        self._meanings = sorted(meanings.items(), key=lambda item: -len(item[0]))
        self._breaks = {tokenizer.encode(text)[0] for text in (".", ",", " and")}
        self._stop = tokenizer.encode(".")[0]
        self._comma = tokenizer.encode(",")[0]
        self._there = {tokenizer.encode(f" {word}")[0] for word in ("there", "nothing")}
        self._numbers = {tokenizer.encode(f" {word}")[0] for word in NUMBERS}
        self._openings = {tokenizer.encode_answer(word)[0] for word in ("Yes", "No")}
        self._movements = {tokenizer.encode(f" {word}")[0] for word in MOVEMENTS}
        self._anything = {tokenizer.encode(f" {word}")[0] for word in ANYTHING}

    def looks(self, ids: Sequence[int], begin: int, start: int, sight: Sight) -> list[Look]:
        """Say where to look, in what is seen from position `start` on, while the answer from `begin` on is said."""
        if sight.labels is None:
            return []
        answer = list(ids[begin:])
        found = [
            Look(begin + index - 1, tuple(start + cell for cell in cells))
            for index, cells in self.cells(answer, sight.labels)
        ]
        if _moves(sight.labels, len(sight.tiles)):
            return found + self._moving(answer, begin, start, sight.labels.unflatten(0, (len(sight.tiles), -1)))
        return found + [
            Look(begin + index - 1, (0, *(start + cell for cell in cells)), aim="count")
            for index, cells in self.counted(answer, sight.labels)
        ]

    def _moving(self, answer: list[int], begin: int, start: int, labels: Tensor) -> list[Look]:
        """Where to look while saying what moved where; labels (frames, cells, 4)."""
        first, last = labels[0].tolist(), labels[-1].tolist()
        offset = start + (len(labels) - 1) * len(first)
        before = {tuple(label[:2]): start + cell for cell, label in enumerate(first) if label[0]}
        shown = [(offset + cell, label) for cell, label in enumerate(last) if label[0]]
        found: list[Look] = []
        for sentence in self._sentences(answer):
            wanted = [meaning for index in sentence for meaning in self._meaning_at(answer, index)]
            keys = tuple(position for position, label in shown if all(label[a] == value for a, value in wanted))
            if wanted and keys and any(answer[index] in self._movements for index in sentence):
                told = (i for i in sentence if answer[i] in self._movements or answer[i] in self._openings)
                found += [Look(begin + index - 1, keys, "moved") for index in told]
        if not found:
            return []
        back = [(position, before.get(tuple(label[:2]))) for position, label in shown]
        return found + [Look(query, (key,), "thing at first") for query, key in back if key is not None]

    def _sentences(self, answer: list[int]) -> list[list[int]]:
        """The indices of each sentence's tokens."""
        found: list[list[int]] = [[]]
        for index, token in enumerate(answer):
            if token == self._stop:
                found.append([])
            else:
                found[-1].append(index)
        return found

    def _meaning_at(self, answer: list[int], index: int) -> list[tuple[int, int]]:
        length, meaning = self._phrase(answer, index)
        return [meaning] if length else []

    def counted(self, answer: list[int], labels: Tensor) -> list[tuple[int, tuple[int, ...]]]:
        """Pair the index of each number, and of a "Yes" or "No" to whether there is any, with what it counts."""
        found: list[tuple[int, tuple[int, ...]]] = []
        for index, token in enumerate(answer):
            follows = answer[index + 1 : index + 3]
            is_opening = token in self._openings and follows[:1] == [self._comma] and follows[-1] in self._there
            if is_opening or token in self._numbers:
                wanted, is_about_something = self._asked(answer, index + (2 if is_opening else 1))
                if is_about_something:
                    shown = enumerate(labels.tolist())
                    cells = (cell for cell, label in shown if label[0] and all(label[a] == v for a, v in wanted))
                    found.append((index, tuple(cells)))
        return found

    def _asked(self, answer: list[int], index: int) -> tuple[list[tuple[int, int]], bool]:
        """What the words up to the next break mean, and whether they say what is counted."""
        meanings: list[tuple[int, int]] = []
        is_anything = False
        while index < len(answer) and answer[index] not in self._breaks:
            phrase, meaning = self._phrase(answer, index)
            meanings += [meaning] if phrase else []
            is_anything |= answer[index] in self._anything
            index += max(1, phrase)
        return meanings, is_anything or bool(meanings)

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
    """How little the taught heads look where they should, summed over heads; 0 is best.

    −log of the attention on the right cells; of what is counted the mean of each key's −log, less what that is at best.

    Args:
        attentions: of each layer, (B, heads, T, T).
        looks: with the row of the batch that each belongs to.
    """
    loss = attentions[0].new_zeros((), dtype=torch.float32)
    for aim, heads in HEADS.items():
        taught = [(row, look) for row, look in looks if look.aim == aim]
        if not taught:
            continue
        most = max(len(look.keys) for _, look in taught)
        rows, queries = torch.tensor([row for row, _ in taught]), torch.tensor([look.query for _, look in taught])
        device = attentions[0].device
        keys = torch.tensor([[*look.keys, *look.keys[:1] * (most - len(look.keys))] for _, look in taught]).to(device)
        lengths = torch.tensor([len(look.keys) for _, look in taught]).to(device)
        counts = (torch.arange(most, device=device) < lengths[:, None]).float()
        for layer, head in heads:
            weights = attentions[layer][rows, head, queries].float().gather(1, keys)  # (n, most)
            if aim == "count":
                each = ((weights + _LEAST).log() * counts).sum(1) / lengths
                loss = loss - (each + lengths.log()).mean()
            else:
                loss = loss - ((weights * counts).sum(1) + _LEAST).log().mean()
    return loss


def has_heads(attentions: Sequence[Tensor]) -> bool:
    """Whether a model has the heads that are taught: the tiny one has."""
    taught = [place for heads in HEADS.values() for place in heads]
    return all(layer < len(attentions) and head < attentions[layer].shape[1] for layer, head in taught)


def _moves(labels: Tensor, tile_count: int) -> bool:
    """Whether things are shown in several frames."""
    return int(labels.unflatten(0, (tile_count, -1))[..., 0].any(1).sum()) > 1
