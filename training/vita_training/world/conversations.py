"""A conversation and what it is about: a picture, a video or nothing, with tools or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vita_training.world.dialogue import (
    CAPTION,
    PICTURE,
    PICTURE_WITH_TOOLS,
    TALK,
    TURNS,
    VIDEO,
    VIDEO_CAPTION,
    WITH_TOOLS,
    Mix,
    converse,
)
from vita_training.world.phrasing import Asker
from vita_training.world.question import Question
from vita_training.world.scene import Motion, Scene, sample_motion, sample_scene
from vita_training.world.situation import Situation

# How often a conversation is about what.
SUBJECTS = {"picture": 0.58, "video": 0.17, "talk": 0.16, "tools": 0.09}
PICTURE_TOOLS_SHARE = 0.1  # of conversations about a picture, in which the tools are there too
NEW_PICTURE_SHARE = 0.08  # of conversations about a picture, in which another one comes


@dataclass(frozen=True, slots=True)
class View:
    """What is shown, and before which question."""

    turn: int
    scene: Scene
    motion: Motion | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Questions and answers, and what is shown meanwhile."""

    questions: tuple[Question, ...]
    views: tuple[View, ...] = ()
    has_tools: bool = False


def draw_dialogue(asker: Asker, subject: str = "", lengths: Sequence[int] = TURNS) -> Dialogue:
    """Draw a conversation about one of SUBJECTS, about any if none is named; it has one of `lengths` turns."""
    subject = subject or asker.rng.choices(tuple(SUBJECTS), tuple(SUBJECTS.values()))[0]
    turns = asker.rng.choice(lengths)
    if subject == "picture":
        has_tools = asker.rng.random() < PICTURE_TOOLS_SHARE
        return _about_pictures(asker, PICTURE_WITH_TOOLS if has_tools else PICTURE, turns, has_tools=has_tools)
    if subject == "video":
        return _about_video(asker, VIDEO, min(turns, 4))
    situation = Situation(has_tools=subject == "tools")
    asked = converse(asker, situation, WITH_TOOLS if situation.has_tools else TALK, turns)
    return Dialogue(tuple(asked), has_tools=situation.has_tools)


def draw_caption(asker: Asker, video_share: float) -> Dialogue:
    """Draw one request to say what is shown."""
    if asker.rng.random() < video_share:
        return _about_video(asker, VIDEO_CAPTION, 1)
    return _about_pictures(asker, CAPTION, 1)


def _about_pictures(asker: Asker, mix: Mix, turns: int, *, has_tools: bool = False) -> Dialogue:
    situation, asked, views = Situation(has_tools=has_tools), list[Question](), list[View]()
    is_changing = turns > 1 and asker.rng.random() < NEW_PICTURE_SHARE
    change = asker.rng.randrange(1, turns) if is_changing else turns
    for length in (change, turns - change):
        if length:
            views.append(View(len(asked), scene := sample_scene(asker.rng)))
            situation.look(scene)
            asked += converse(asker, situation, mix, length)
    return Dialogue(tuple(asked), tuple(views), has_tools)


def _about_video(asker: Asker, mix: Mix, turns: int) -> Dialogue:
    motion = sample_motion(asker.rng)
    scene = Scene(motion.frames[0])
    situation = Situation()
    situation.look(scene, motion)
    return Dialogue(tuple(converse(asker, situation, mix, turns)), (View(0, scene, motion),))
