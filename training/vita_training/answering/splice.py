"""Conversations to rows of tokens with places for pictures and speech: the very format of inference.

A user turn holds the picture's embeddings, a newline, then the speech's embeddings or the typed words; an answer begins
with the state mark and ends with `<|im_end|>` (docs/model.md, 2 and 3).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vita15.chat_template import ChatTemplate
from vita15.tokenizer import Tokenizer
from vita_training.answering.conversations import Turn
from vita_training.answering.looking import Describer, Look
from vita_training.world.prompt import SYSTEM_PROMPT

IGNORED = -100  # label of tokens that are not learnt


@dataclass(frozen=True, slots=True)
class PictureRows:
    """A picture as the vision tower leaves it."""

    features: Tensor  # (n, 4 × hidden)
    labels: Tensor  # (n, 3): what each embedding shows (vita_training.seeing.labels)


@dataclass(frozen=True, slots=True)
class Clip:
    """A question or another sound as the speech encoder leaves it."""

    frames: Tensor  # (T, hidden)
    text: str  # what is said in it; empty for noise


@dataclass
class Row:
    """One conversation. Media take as many positions as they have embeddings, filled with id 0."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)  # of each position itself, not shifted
    pictures: list[tuple[int, PictureRows]] = field(default_factory=list)  # with their positions
    clips: list[tuple[int, Clip]] = field(default_factory=list)  # likewise
    looks: list[Look] = field(default_factory=list)
    answers: list[tuple[int, int, Turn]] = field(default_factory=list)  # begin and end of what each turn teaches

    def add(self, ids: list[int], *, is_learnt: bool = False) -> None:
        """Append text tokens."""
        self.ids += ids
        self.labels += ids if is_learnt else [IGNORED] * len(ids)

    def reserve(self, count: int) -> int:
        """Make room for embeddings; return where it begins."""
        start = len(self.ids)
        self.add([0] * count)
        return start


class Splicer:
    """Turns conversations into rows."""

    def __init__(self, tokenizer: Tokenizer, count_embeddings: Callable[[int], int]) -> None:
        self._tokenizer, self._template = tokenizer, ChatTemplate(tokenizer)
        self._describer = Describer(tokenizer)
        self._count_embeddings = count_embeddings  # encoder frames → embeddings

    def row(self, turns: list[Turn], clips: list[Clip | None], pictures: list[PictureRows], rng: random.Random) -> Row:
        """Lay out one conversation.

        Args:
            turns: the conversation.
            clips: for each turn what is heard, None where it is typed.
            pictures: those that turns point to.
            rng: decides whether a newline follows a picture: nearly always.
        """
        row = Row()
        row.add(self._template.turn("system", SYSTEM_PROMPT))
        for turn, clip in zip(turns, clips, strict=True):
            row.add(self._template.opening("user"))
            if turn.picture is not None:
                picture = pictures[turn.picture]
                row.pictures.append((row.reserve(len(picture.features)), picture))
                row.add(self._tokenizer.encode("\n") if rng.random() < 0.9 else [])
            if clip is None:
                row.add(self._tokenizer.encode(turn.question))
            else:
                row.clips.append((row.reserve(self._count_embeddings(len(clip.frames))), clip))
            row.add(self._template.closing() + self._template.opening("assistant"))
            begin = len(row.ids)
            self._answer(row, turn)
            self._look(row, begin)
            row.answers.append((begin, len(row.ids), turn))
        return row

    def _look(self, row: Row, begin: int) -> None:
        """Note where to look, in the newest picture, while saying what stands from `begin` on."""
        if row.pictures:
            start, picture = row.pictures[-1]
            found = self._describer.cells(row.ids[begin:], picture.labels)
            row.looks += [Look(begin + index - 1, tuple(start + cell for cell in cells)) for index, cells in found]

    def _answer(self, row: Row, turn: Turn) -> None:
        special = self._tokenizer.special
        if turn.is_noise:
            row.add([special.noise, special.im_end], is_learnt=True)
            return
        row.add([special.speech if turn.is_spoken else special.text], is_learnt=True)
        words = turn.answer.split(" ")
        row.add(self._tokenizer.encode(" ".join(words[: turn.kept_words])), is_learnt=True)
        row.add([special.im_end], is_learnt=turn.kept_words in (None, len(words)))
        row.add(self._tokenizer.encode("\n"))


def pad(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Stack rows: ids and labels, both (B, T); the padding is at the end and learns nothing."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        labels[i, : len(row.ids)] = torch.tensor(row.labels)
    return ids, labels
