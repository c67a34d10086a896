"""Conversations, question by question: which topic comes next, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vita_training.world.phrasing import Asker
from vita_training.world.question import Question
from vita_training.world.scene import Motion, Scene, sample_scene
from vita_training.world.situation import Situation
from vita_training.world.topics import (
    arithmetic,
    colours,
    counting,
    counts,
    descriptions,
    follow_ups,
    memory,
    movement,
    places,
    presence,
    repeating,
    shapes,
    sizes,
    small_talk,
    tools,
    unknown,
)

Topic = Callable[[Asker, Situation], Question | None]
Mix = Mapping[str, float]  # how often each topic is drawn

FOLLOW_UP_SHARE = 0.4  # of questions about what is seen, where one fits
RECALL_SHARE = 0.3  # of later questions in a conversation in which something was told
TURNS = (1, 2, 2, 3, 4, 5)
LONG_TURNS = (1, 2, 4, 6, 8, 10)  # of typed and spoken lessons: more questions for each picture that is looked at


def converse(asker: Asker, situation: Situation, mix: Mix, turns: int) -> list[Question]:
    """Hold a conversation; `situation` is what it begins with, and follows it."""
    asked: list[Question] = []
    for _ in range(turns):
        question = _next(asker, situation, mix)
        situation.last = question
        asked.append(question)
    return asked


def _next(asker: Asker, situation: Situation, mix: Mix) -> Question:
    told = [told for told in (situation.person, situation.number) if told]
    if told and asker.rng.random() < RECALL_SHARE:
        return memory.recall(asker, situation, is_name=asker.rng.choice(told) == situation.person)
    if situation.scene and situation.last and asker.rng.random() < FOLLOW_UP_SHARE:
        following = follow_ups.ask(asker, situation.scene, situation.last, has_places=situation.motion is None)
        if following is not None:
            return following
    while True:
        question = TOPICS[asker.rng.choices(tuple(mix), tuple(mix.values()))[0]](asker, situation)
        if question is not None:
            return question


def _about_scene(topic: Callable[[Asker, Scene], Question | None], *, is_still: bool = False) -> Topic:
    """Make a topic of one that looks at a scene; `is_still`: it cannot be asked where something moves."""

    def ask(asker: Asker, situation: Situation) -> Question | None:
        if situation.scene is None or (is_still and situation.motion is not None):
            return None
        return topic(asker, situation.scene)

    return ask


def _about_motion(topic: Callable[[Asker, Motion], Question]) -> Topic:
    """Make a topic of one that looks at what moves."""
    return lambda asker, situation: topic(asker, situation.motion) if situation.motion else None


def _about_nothing(asker: Asker, situation: Situation) -> Question | None:
    """Ask about a picture where there is none."""
    if situation.scene is not None:
        return None
    scene = sample_scene(asker.rng)
    topic = asker.rng.choice((colours.ask, shapes.ask, counts.ask, presence.ask, places.ask, descriptions.ask))
    return unknown.without_picture(topic(asker, scene))


TOPICS: dict[str, Topic] = {
    "colours": _about_scene(colours.ask),
    "shapes": _about_scene(shapes.ask),
    "counts": _about_scene(counts.ask),
    "presence": _about_scene(presence.ask),
    "places": _about_scene(places.ask, is_still=True),
    "sizes": _about_scene(sizes.ask),
    "descriptions": _about_scene(descriptions.ask, is_still=True),
    "movement": _about_motion(movement.ask),
    "video captions": _about_motion(movement.caption),
    "no picture": _about_nothing,
    "arithmetic": lambda asker, _: arithmetic.ask(asker),
    "counting": lambda asker, _: counting.ask(asker),
    "repeating": lambda asker, _: repeating.ask(asker),
    "memory": memory.ask,
    "small talk": lambda asker, _: small_talk.ask(asker),
    "unknown": lambda asker, _: unknown.ask(asker),
    "tools": lambda asker, situation: tools.ask(asker, has_tools=situation.has_tools),
}
_TALK = {"arithmetic": 3.0, "counting": 1.0, "repeating": 1.5, "memory": 2.5, "small talk": 2.5, "unknown": 1.2}
TALK: Mix = {**_TALK, "no picture": 1.2, "tools": 0.4}  # the tools are not there
WITH_TOOLS: Mix = {**_TALK, "tools": 8.0}
PICTURE: Mix = {
    **{"colours": 2.0, "shapes": 2.0, "counts": 2.5, "presence": 2.0, "places": 3.0, "sizes": 4.0, "descriptions": 0.8},
    **{"memory": 0.6, "small talk": 0.5, "arithmetic": 0.4, "unknown": 0.2},
}
PICTURE_WITH_TOOLS: Mix = {**PICTURE, "tools": 7.0}
VIDEO: Mix = {"movement": 4.0, "colours": 0.5, "shapes": 0.5, "counts": 0.5, "presence": 0.5, "small talk": 0.2}
CAPTION: Mix = {"descriptions": 1.0}
VIDEO_CAPTION: Mix = {"video captions": 1.0}
