"""Dialogues as samples: questions typed or spoken, pictures painted, sounds that are no question at the end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from vita15.config import TINY
from vita15.tool_format import parse_call, system_text
from vita_training.data.sample import AUDIO, IMAGE, VIDEO, Clip, Picture, Sample, Utterance, Video
from vita_training.world.conversations import Dialogue, View
from vita_training.world.painting import paint, sample_look, sample_size
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.question import Question
from vita_training.world.sound_stage import SoundStage
from vita_training.world.topics.tools import TOOLS
from vita_training.world.typing import typed

SQUARE_PX = TINY.vision_encoder.tile_px  # most pictures are one tile


@dataclass
class Draft:
    """A sample in the making."""

    utterances: list[Utterance] = field(default_factory=list[Utterance])
    pictures: list[Picture] = field(default_factory=list[Picture])
    videos: list[Video] = field(default_factory=list[Video])
    audio: list[Clip] = field(default_factory=list[Clip])
    kinds: list[str] = field(default_factory=list[str])
    inserted_id: int | None = None

    def say(self, speaker: str, value: str) -> None:
        """Add an utterance of "system", "human", "gpt" or "tool"."""
        self.utterances.append(Utterance(speaker, value))  # pyright: ignore[reportArgumentType]

    def finished(self, identifier: str, of_set: str) -> Sample:
        """Return the sample."""
        media = tuple(self.pictures), tuple(self.videos), tuple(self.audio)
        conversation, kind = tuple(self.utterances), " ".join(self.kinds)
        return Sample(identifier, of_set, conversation, *media, self.inserted_id, kind)


def draft(dialogue: Dialogue, rng: random.Random, stage: SoundStage | None = None, spoken_share: float = 0.0) -> Draft:
    """Lay a dialogue out; a spoken question has a recording of its meaning in place of its words."""
    made = Draft()
    if dialogue.has_tools:
        made.say("system", system_text(SYSTEM_PROMPT, TOOLS))
    views = {view.turn: view for view in dialogue.views}
    for turn, question in enumerate(dialogue.questions):
        shown = _show(made, views[turn], rng) if turn in views else ""
        is_spoken = stage is not None and rng.random() < spoken_share
        clip = stage.question(question.meaning, rng) if stage is not None and is_spoken else None
        if clip is not None:
            made.audio.append(clip)
        made.say("human", shown + (typed(question.text, question.kind, rng) if clip is None else AUDIO))
        _answer(made, question)
    return made


def interrupt(made: Draft, rng: random.Random) -> None:
    """Leave some words of one answer: it was broken off there, does not teach to end, and the next question follows."""
    answers = [i for i, each in enumerate(made.utterances) if each.speaker == "gpt" and not parse_call(each.value)]
    cut = rng.choice(answers)
    words = made.utterances[cut].value.split(" ")
    made.utterances[cut] = Utterance("gpt", " ".join(words[: rng.randint(1, len(words))]), is_broken_off=True)


def add_noise(made: Draft, rng: random.Random, stage: SoundStage) -> None:
    """End with a sound that is not for the assistant, which says nothing: the server forgets such a turn."""
    made.audio.append(stage.noise(rng))
    made.inserted_id = sum(utterance.speaker == "gpt" for utterance in made.utterances)
    made.say("human", AUDIO)
    made.say("gpt", "")
    made.kinds.append("noise")


def _answer(made: Draft, question: Question) -> None:
    if question.call:
        made.say("gpt", question.call)
        made.say("tool", question.result)
    made.say("gpt", question.answer)
    made.kinds.append(question.kind)


def _show(made: Draft, view: View, rng: random.Random) -> str:
    """Paint what is shown; return its placeholder."""
    things = view.scene.things
    if view.motion is None:
        size = sample_size(rng, SQUARE_PX)
        made.pictures.append(Picture(paint(things, sample_look(things, size, rng), rng), things))
        return f"{IMAGE}\n"
    look = sample_look(things, (SQUARE_PX, SQUARE_PX), rng)
    frames = tuple(paint(frame, look, rng) for frame in view.motion.frames)
    made.videos.append(Video(frames, view.motion.frames))
    return f"{VIDEO}\n"
