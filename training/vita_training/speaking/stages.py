"""Stages 3.1 and 3.2 as the recipe calls them.

Both learn the assistant's side of the data alone: its sentences in espeak-ng's voice, which stands in for the paper's
3,000 hours of made speech. Nothing of stages 1 and 2 is loaded, so nothing of it can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from vita15.speech_decoder import SpeechDecoder
from vita_training.data.json_source import JsonSource
from vita_training.recipe.loop import SNAPSHOT, Lesson, run
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.sets import WORLD
from vita_training.recipe.snapshot import Progress, load_part
from vita_training.recipe.teach import Setting
from vita_training.speaking import codec_lesson, decoder_lesson
from vita_training.speaking.clauses import answers_in, choose, cut
from vita_training.speaking.codec import Codec, load_codec
from vita_training.speaking.corpus import CROPS
from vita_training.speaking.examples import BATCH_LENGTH
from vita_training.speaking.export import export_codec, export_decoder
from vita_training.speaking.intelligibility import Listener

CODEC, SPEECH = "3.1", "3.2"
SPEAKING_SCHEDULES: Mapping[str, Schedule] = {CODEC: codec_lesson.SCHEDULE, SPEECH: decoder_lesson.SCHEDULE}


def speaking_lesson(name: str, setting: Setting, steps: int) -> Lesson[Any]:
    """Build the lesson of stage "3.1" or "3.2", to be taught for `steps`.

    Raises:
        ValueError: 3.2, and 3.1 is not finished in this folder.
    """
    clauses = choose(assistant_answers(setting.data))
    if name == CODEC:
        crops = setting.batch_length or CROPS
        return codec_lesson.codec_lesson(
            setting.config.codec_decoder, clauses, steps=steps, crops=crops, seed=setting.seed
        )
    lesson = decoder_lesson.decoder_lesson(
        setting.config.speech_decoder,
        load_codec(setting.folder / CODEC / SNAPSHOT, setting.config.codec_decoder),
        setting.tokenizer,
        clauses,
        listener=world_listener() if setting.data == WORLD else None,
        batch_length=setting.batch_length or BATCH_LENGTH,
        seed=setting.seed,
    )
    if setting.is_compiled:
        lesson.model.compile_layers()
    return lesson


def teach_speaking(name: str, setting: Setting, schedule: Schedule) -> Progress:
    """Run stage "3.1" or "3.2" from where it is.

    Raises:
        ValueError: 3.2, and 3.1 is not finished in this folder.
    """
    lesson = speaking_lesson(name, setting, schedule.steps)
    return run(lesson, replace(schedule, seed=setting.seed), setting.folder / name)


def load_speech(setting: Setting) -> tuple[Codec, SpeechDecoder]:
    """Load what finished runs of both stages left, frozen.

    Raises:
        ValueError: one of them is not finished.
    """
    codec = load_codec(setting.folder / CODEC / SNAPSHOT, setting.config.codec_decoder)
    decoder = SpeechDecoder(setting.config.speech_decoder)
    for part, module in decoder.named_children():
        load_part(setting.folder / SPEECH / SNAPSHOT, f"decoder.{part}", module)
    return codec, decoder.requires_grad_(False).eval()


def export_speech(setting: Setting, tokenizer: Path, out: Path) -> None:
    """Write `codec_decoder` and `speech_decoder` of finished runs into `out`."""
    codec, decoder = load_speech(setting)
    export_codec(codec.decoder, out / "codec_decoder", f"stage {CODEC}, seed {setting.seed}; training/LOG.md")
    run_name = f"stage {SPEECH}, seed {setting.seed}; training/LOG.md"
    export_decoder(decoder, codec.codebook, tokenizer, out / "speech_decoder", run_name)


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
