"""Conversations to learn from: a picture or none, one to four turns spoken or typed, follow-ups, cut answers, noise."""

from __future__ import annotations

import random
from dataclasses import dataclass

from vita_training.world.language import Question, ask, follow_up
from vita_training.world.recordings import is_held_out
from vita_training.world.scenes import Scene, sample_scene
from vita_training.world.small_talk import NO_PICTURE, SMALL_TALK, STRANGE, UNKNOWN
from vita_training.world.typing import typed_forms

SPOKEN_SHARE = 0.6
NOISE_SHARE = 0.07  # of turns; a noise turn is the last one, since the server forgets it
CUT_SHARE = 0.08  # of answers, that are broken off after some words
_TYPED_WEIGHTS = (6, 2, 1, 1)  # as written, small letters, no full stop, both; rarer forms last


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange. `answer` is empty for noise."""

    question: str  # as written, or as typed
    is_spoken: bool
    answer: str
    is_noise: bool = False
    kept_words: int | None = None  # of the answer, if it was interrupted
    kind: str = "noise"
    picture: int | None = None  # index of the picture that comes before the question


def sample_conversation(rng: random.Random, scenes: list[Scene]) -> list[Turn]:
    """Draw a conversation; `scenes` are those of the pictures that `Turn.picture` points to."""
    picture = rng.randrange(len(scenes)) if rng.random() < 0.85 else None
    shown = picture
    turns: list[Turn] = []
    last: Question | None = None
    for _ in range(rng.choice((1, 2, 2, 3, 4))):
        if turns and rng.random() < 0.06:  # another picture comes
            picture = shown = rng.randrange(len(scenes))
            last = None
        if rng.random() < NOISE_SHARE:
            turns.append(Turn("", True, "", is_noise=True, picture=picture))
            break
        last = _question(rng, None if shown is None else scenes[shown], last)
        is_spoken = rng.random() < SPOKEN_SHARE
        text = last.text if is_spoken else _typed(last.text, rng)
        kept = rng.randint(1, len(last.answer.split())) if rng.random() < CUT_SHARE else None
        turns.append(Turn(text, is_spoken, last.answer, kept_words=kept, kind=last.kind, picture=picture))
        picture = None
    return turns


def _question(rng: random.Random, scene: Scene | None, last: Question | None) -> Question:
    draw = rng.random()
    if draw < (0.1 if scene else 0.6):
        return Question("talk", *rng.choice(SMALL_TALK))
    if draw < (0.13 if scene else 0.72):
        return Question("strange", rng.choice(STRANGE), UNKNOWN)
    if scene is None:
        return Question("no_picture", _trainable(sample_scene(rng), rng).text, NO_PICTURE)
    if last is not None and rng.random() < 0.5:
        following = follow_up(scene, last, rng)
        if following is not None:
            return following
    return _trainable(scene, rng)


def _trainable(scene: Scene, rng: random.Random) -> Question:
    while is_held_out((question := ask(scene, rng)).text):
        pass
    return question


def _typed(question: str, rng: random.Random) -> str:
    forms = typed_forms(question)
    weights = [*_TYPED_WEIGHTS, *(1 for _ in forms)][: len(forms)]
    return rng.choices(forms, weights)[0]
