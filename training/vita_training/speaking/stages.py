"""Stages 3.1 and 3.2 as the recipe calls them.

Both learn the assistant's side of the data alone: its sentences in espeak-ng's voice, which stands in for the paper's
3,000 hours of made speech. Nothing of stages 1 and 2 is loaded, so nothing of it can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vita_training.data.json_source import JsonSource
from vita_training.recipe.loop import SNAPSHOT, Lesson
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.sets import WORLD
from vita_training.recipe.teach import Setting
from vita_training.speaking import codec_lesson, decoder_lesson
from vita_training.speaking.clauses import answers_in, choose, cut
from vita_training.speaking.codec import load_codec
from vita_training.speaking.intelligibility import Listener

CODEC, SPEECH = "3.1", "3.2"
SPEAKING_SCHEDULES: Mapping[str, Schedule] = {CODEC: codec_lesson.SCHEDULE, SPEECH: decoder_lesson.SCHEDULE}


def speaking_lesson(name: str, setting: Setting, steps: int) -> Lesson[Any]:
    """Build the lesson of stage "3.1" or "3.2", to be taught for `steps`.

    Raises:
        FileNotFoundError: 3.2, and 3.1 is not finished in this folder.
    """
    clauses = choose(assistant_answers(setting.data))
    if name == CODEC:
        return codec_lesson.codec_lesson(setting.config.codec_decoder, clauses, steps=steps, seed=setting.seed)
    lesson = decoder_lesson.decoder_lesson(
        setting.config.speech_decoder,
        load_codec(setting.folder / CODEC / SNAPSHOT, setting.config.codec_decoder),
        setting.tokenizer,
        clauses,
        listener=world_listener() if setting.data == WORLD else None,
        seed=setting.seed,
    )
    if setting.is_compiled:
        lesson.model.compile_layers()
    return lesson


def assistant_answers(data: str) -> list[str]:
    """All that the assistant says: in the small world, or in files of the original's format."""
    if data == WORLD:
        from vita_training.world.topics.every import answers  # slow to import: it lists them

        return answers()
    files = sorted(Path(data).glob("*.json")) if Path(data).is_dir() else [Path(data)]
    return list(dict.fromkeys(answer for file in files for answer in answers_in(JsonSource(file))))


@cache
def world_listener() -> Listener:
    """Who understands all that the assistant of the small world may say, and nothing else."""
    return Listener([clause for answer in assistant_answers(WORLD) for clause in cut(answer)])
