"""Conversations to rows of tokens with places for what is seen and heard: the very format of inference.

A user's turn holds what is seen, a newline, then words and speech as they come; an answer begins with the state mark
and ends with `<|im_end|>` (docs/model.md, 3.2 and 3.3; vita15/splicing.py lays the same out for serving).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from vita15.chat_template import ChatTemplate
from vita15.config import VitaConfig
from vita15.fbank import frame_count
from vita15.speech_encoder import embedding_count
from vita15.splicing import AFTER_PICTURES, IGNORED
from vita15.tokenizer import Tokenizer
from vita15.tool_format import response_text
from vita15.transcription import around_clip
from vita_training.data.media import Sight, Sound, hear, see_picture, see_video
from vita_training.data.sample import AUDIO, IMAGE, VIDEO, Clip, Picture, Sample, Utterance, Video
from vita_training.recipe.echo import Echo, Echoes, Exchange, Word, spoken_ids
from vita_training.recipe.looking import Describer, Look
from vita_training.world.prompt import SYSTEM_PROMPT

DETAILED_SHARE = 0.08  # of pictures, that are cut into as many tiles as they are worth
MediumT = TypeVar("MediumT")
STATES = ("speech", "text", "noise")
_PLACEHOLDER = re.compile(f"({'|'.join((IMAGE, VIDEO, AUDIO))})\n?")


@dataclass(frozen=True, slots=True)
class Answer:
    """Where one answer stands in a row, and what it tells a judge."""

    begin: int  # position of the state mark
    end: int
    state: str
    kind: str


@dataclass
class Row:
    """One conversation. Media take as many positions as they have embeddings, filled with id 0."""

    ids: list[int] = field(default_factory=list[int])
    labels: list[int] = field(default_factory=list[int])  # of each position itself, not shifted
    sights: list[tuple[int, Sight]] = field(default_factory=list[tuple[int, Sight]])  # with their positions
    sounds: list[tuple[int, Sound]] = field(default_factory=list[tuple[int, Sound]])  # likewise
    prompts: list[int] = field(default_factory=list[int])  # where the vectors for transcription stand
    looks: list[Look] = field(default_factory=list[Look])
    answers: list[Answer] = field(default_factory=list[Answer])
    echoes: list[Echo] = field(default_factory=list[Echo])

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
    """Lays out conversations for one model."""

    def __init__(self, tokenizer: Tokenizer, config: VitaConfig) -> None:
        self._tokenizer, self._template, self._config = tokenizer, ChatTemplate(tokenizer), config
        self._describer, self._echoes = Describer(tokenizer), Echoes(tokenizer)

    def conversation(self, sample: Sample, rng: random.Random) -> Row:
        """Lay out a conversation; `rng` decides which pictures are looked at in detail."""
        row, media = Row(), _Media(sample)
        turns = list(sample.conversations)
        system = turns.pop(0).value if turns[0].speaker == "system" else SYSTEM_PROMPT
        row.add(self._template.turn("system", system))
        answered = asked_count = 0
        kinds = sample.kind.split() if sample.kind else []
        exchanges: list[Exchange] = []
        for index, turn in enumerate(turns):
            asked_count += turn.speaker == "human"
            if turn.speaker == "gpt":
                asked = turns[index - 1].value if index else ""
                state = "noise" if answered == sample.inserted_id else "speech" if AUDIO in asked else "text"
                kind = kinds[asked_count - 1] if asked_count <= len(kinds) else ""
                begin = self._answer(row, turn.value, state, is_whole=not turn.is_broken_off, kind=kind)
                if exchanges:
                    row.echoes += self._echoes.answered(row.ids, begin, exchanges)
                    exchanges[-1].words.extend(Word(row.ids[place], place) for place in range(begin, len(row.ids)))
                answered += 1
            else:
                words = self._ask(row, turn, media, rng)
                if turn.speaker == "human":
                    kind = kinds[asked_count - 1] if asked_count <= len(kinds) else ""
                    exchanges.append(Exchange(kind, words))
        return row

    def transcription(self, sample: Sample) -> Row:
        """Lay out a clip after the vectors for transcription, and what is said in it as the answer.

        The mark before it is given, not taught: in stage 2.1b the language model is frozen and knows typed text only.
        """
        row, sound = Row(), hear(sample.audio[0])
        before, behind = around_clip(self._tokenizer, SYSTEM_PROMPT)
        row.add(before)
        row.prompts.append(row.reserve(self._config.speech_encoder.prompt_count))
        self._put_sound(row, sound)
        row.add(behind)
        begin = len(row.ids) - 1
        said = sound.text or sample.conversations[-1].value
        row.add([*self._tokenizer.encode(said), self._tokenizer.im_end], is_learnt=True)
        row.echoes = self._echoes.written(row.ids, begin + 1, sound.text, clip=0)
        row.answers.append(Answer(begin, len(row.ids), "speech", "transcript"))
        return row

    def _ask(self, row: Row, turn: Utterance, media: _Media, rng: random.Random) -> list[Word]:
        """Lay out a turn of the user's, or of a tool; return its words."""
        words: list[Word] = []
        if turn.speaker == "tool":
            row.add(self._template.turn("tool", response_text(turn.value)))
            return words
        row.add(self._template.opening("user"))
        pieces = [piece for piece in _PLACEHOLDER.split(turn.value) if piece]
        seen = [piece for piece in pieces if piece in (IMAGE, VIDEO)]
        for piece in seen:
            row.sights.append(self._see(row, media.next_picture() if piece == IMAGE else media.next_video(), rng))
        others = [piece for piece in pieces if piece not in (IMAGE, VIDEO)]
        row.add(self._tokenizer.encode(AFTER_PICTURES) if seen and others else [])
        for piece in others:
            if piece == AUDIO:
                sound, clip = hear(media.next_clip()), len(row.sounds)
                self._put_sound(row, sound)
                words += [Word(t, place, clip) for place, t in enumerate(spoken_ids(self._tokenizer, sound.text))]
            else:
                ids = self._tokenizer.encode(piece)
                words += [Word(token, len(row.ids) + place) for place, token in enumerate(ids)]
                row.add(ids)
        row.add(self._template.closing())
        return words

    def _see(self, row: Row, shown: Picture | Video, rng: random.Random) -> tuple[int, Sight]:
        config = self._config.vision_encoder
        if isinstance(shown, Video):
            sight = see_video(shown, config)
        else:
            sight = see_picture(shown, config, is_detailed=rng.random() < DETAILED_SHARE)
        return row.reserve(len(sight.tiles) * config.tokens_per_tile), sight

    def _put_sound(self, row: Row, sound: Sound) -> None:
        row.sounds.append((row.reserve(embedding_count(frame_count(len(sound.samples)))), sound))

    def _answer(self, row: Row, text: str, state: str, *, is_whole: bool, kind: str) -> int:
        """Lay out an answer; return where its words begin."""
        row.add(self._template.opening("assistant"))
        begin, im_end = len(row.ids), self._tokenizer.im_end
        row.add([self._tokenizer.state_ids[state], *self._tokenizer.encode_answer(text)], is_learnt=True)
        row.add([im_end], is_learnt=is_whole)
        row.answers.append(Answer(begin, len(row.ids), state, kind))
        if row.sights and row.sights[-1][1].labels is not None:
            start, sight = row.sights[-1]
            row.looks += self._describer.looks(row.ids, begin, start, sight)
        row.add(self._template.closing(is_end_said=True))
        return begin + 1


class _Media:
    """Hands out a sample's media in order.

    Raises:
        ValueError: more placeholders than media.
    """

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._pictures, self._videos, self._clips = iter(sample.pictures), iter(sample.videos), iter(sample.audio)

    def next_picture(self) -> Picture:
        return self._next(self._pictures, IMAGE)

    def next_video(self) -> Video:
        return self._next(self._videos, VIDEO)

    def next_clip(self) -> Clip:
        return self._next(self._clips, AUDIO)

    def _next(self, media: Iterator[MediumT], placeholder: str) -> MediumT:
        for medium in media:
            return medium
        raise ValueError(f"sample {self._sample.id!r} of {self._sample.set!r}: more {placeholder} than there are media")


def pad(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Stack rows: ids and labels, both (B, T); the padding is at the end and learns nothing."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        labels[i, : len(row.ids)] = torch.tensor(row.labels)
    return ids, labels
