"""A stage's row made a lesson, and taught."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vita15.config import VitaConfig
from vita15.tokenizer import Tokenizer
from vita_training.data.pools import Mixture, Part, Pools
from vita_training.recipe import snapshot
from vita_training.recipe.alignment import Alignment
from vita_training.recipe.answering import AnsweringLesson, RowMaker, TaughtAssistant
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import is_within
from vita_training.recipe.hearing import HearingLesson, Listener, check_said, draw_sound
from vita_training.recipe.loop import SNAPSHOT, Lesson, run
from vita_training.recipe.rows import Splicer
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.seeing import LabelledTower, SeeingLesson
from vita_training.recipe.sets import DEVELOPMENT_SEED, WORLD, open_sets
from vita_training.recipe.stages import PROMPT, TURN_END, Stage, starts_from
from vita_training.recipe.start import Start, stages_left
from vita_training.recipe.turn_ends import TurnEndLesson, draw_pause

PART = "assistant"  # of every lesson's model
JUDGED_BATCHES = 12  # of development data
# Of a batch, in tiles, positions or feature frames. 6,200 positions are the original's limit for one sample.
FULL_LENGTHS = {"seeing": 8, "answering": 6200, "hearing": 10_000, "turn ends": 10_000}
# Parts that a model may lack: the size that is then 0, and a usual one (the original's count of vectors, and ours).
OPTIONAL = {PROMPT: ("prompt_count", 25), TURN_END: ("turn_end_hidden", 256)}


@dataclass(frozen=True)
class Setting:
    """What a stage is taught to and with."""

    config: VitaConfig
    tokenizer: Tokenizer
    folder: Path  # of the run; each stage has a folder of its own in it
    data: str = WORLD
    seed: int = 0
    batch_length: int = 0  # in place of the table's; 0: as the table says
    is_compiled: bool = False
    is_checkpointed: bool = False  # gradients: slower, in less memory
    dtype: torch.dtype = torch.float32  # of frozen weights; those that a stage trains have float32 masters
    has_masters: bool = True  # otherwise all are of that type, in half the memory: for trials only
    start: Start | None = None  # ready components, in the place of stages that are not in the folder

    @property
    def is_tiny(self) -> bool:
        """Whether the numbers found for the tiny model hold."""
        return self.config.name == "tiny"


def teach(stage: Stage, setting: Setting, schedule: Schedule) -> snapshot.Progress:
    """Run a stage from where it is.

    Raises:
        RecipeError: a stage that it starts from is not finished in this folder, and nothing stands in for it; as
            `check_parts`.
    """
    return run(lesson_of(stage, setting), replace(schedule, seed=setting.seed), setting.folder / stage.name)


def check_parts(stage: Stage, config: VitaConfig) -> None:
    """See that a model has all that a stage trains.

    Raises:
        RecipeError: it lacks a part; the message names the size to set.
    """
    for part, (size, usual) in OPTIONAL.items():
        if part in stage.trains and not getattr(config.speech_encoder, size):
            raise RecipeError(
                f"trains {part}, which {config.name} has not: {size} is 0; "
                f"name a --config file whose speech_encoder has {size}, such as {usual}"
            )


def load_assistant(setting: Setting, after: list[Stage], trained: Iterable[str] = ()) -> Assistant:
    """The assistant as the stages in `after` left it, or as it starts; what nobody trained is drawn by the seed.

    Its weights are of the setting's type, but for the `trained` parts: their master weights are float32, or the small
    steps of a learning rate would be rounded away.

    Raises:
        RecipeError: one of them is not finished, and nothing stands in for it.
    """
    torch.manual_seed(setting.seed)
    assistant = Assistant(setting.config, attention="eager" if setting.is_tiny else "sdpa")
    parts = tuple(trained) if setting.has_masters else ()
    for name, parameter in assistant.named_parameters():
        if not is_within(name, parts):
            parameter.data = parameter.data.to(setting.dtype)
    if setting.start is not None:
        after, absent = stages_left(setting.folder, after)
        setting.start.fill_assistant(assistant, absent)
    for stage in after:
        snapshot.load_part(setting.folder / stage.name / SNAPSHOT, PART, assistant)
    return assistant


def training_run(setting: Setting, stages: Sequence[str]) -> str:
    """Say in a line how weights came to be, as their snapshots have it: what was taught, on what, for how long."""
    runs = [snapshot.read_progress(setting.folder / name / SNAPSHOT) for name in stages]
    steps, minutes = sum(run.step for run in runs), sum(run.seconds for run in runs) / 60
    line = f"stages {', '.join(stages)}; {snapshot.told(runs)}: {steps} steps, {minutes:.0f} min"
    begun = "" if setting.start is None else f"; from {setting.start}"
    return f"{line}{begun}; training/LOG.md"


def lesson_of(stage: Stage, setting: Setting) -> Lesson[Any]:
    """Build the lesson of a stage; errors as `teach`."""
    check_parts(stage, setting.config)
    assistant = load_assistant(setting, starts_from(stage), stage.trains)
    if setting.is_compiled and stage.teaches == "answering":
        assistant.compile_layers()
    if setting.is_checkpointed:
        assistant.checkpoint_gradients()
    return _BUILDERS[stage.teaches](stage, setting, assistant)


def _seeing(stage: Stage, setting: Setting, assistant: Assistant) -> Lesson[Any]:
    model, mixture = LabelledTower(assistant), _mixture(stage, setting)
    length = _length(stage, setting)
    lesson = SeeingLesson(model, _rates(stage, setting, "heads"), mixture, setting.seed, batch_tiles=length)
    if setting.data == WORLD:
        judging = SeeingLesson(model, {}, _mixture(stage, setting, DEVELOPMENT_SEED), DEVELOPMENT_SEED)
        lesson.development = [judging.batch(number) for number in range(JUDGED_BATCHES)]
    return lesson


def _answering(stage: Stage, setting: Setting, assistant: Assistant) -> Lesson[Any]:
    splicer = Splicer(setting.tokenizer, setting.config)
    transcribed = frozenset(index for index, share in enumerate(stage.sets) if share.is_transcribed)
    # Side lessons: only the small world says what its pictures show and its clips say.
    alignment = Alignment(setting.tokenizer, setting.config.llm.hidden) if setting.data == WORLD else None
    length = _length(stage, setting)
    lesson = AnsweringLesson(
        TaughtAssistant(assistant, alignment, has_states=stage.has_states),
        _rates(stage, setting, "alignment", "states"),
        RowMaker(_mixture(stage, setting), splicer, transcribed).pools(length, setting.seed),
    )
    if setting.data == WORLD:
        maker = RowMaker(_mixture(stage, setting, DEVELOPMENT_SEED), splicer, transcribed)
        pools = maker.pools(length, DEVELOPMENT_SEED)
        lesson.development = [pools.batch(number) for number in range(JUDGED_BATCHES)]
    return lesson


def _hearing(stage: Stage, setting: Setting, assistant: Assistant) -> Lesson[Any]:
    if setting.data != WORLD:
        for share in stage.sets:
            check_said(open_sets(setting.data, setting.seed)(share.of))
    pools = _sound_pools(stage, setting)
    model = Listener(assistant, setting.tokenizer.vocab_size)
    lesson = HearingLesson(model, _rates(stage, setting, "letters", "words"), pools, setting.tokenizer)
    if setting.start is None or "speech_encoder" not in setting.start.manifests:
        lesson.normalise()
    if setting.data == WORLD:
        judging = _sound_pools(stage, setting, DEVELOPMENT_SEED)
        lesson.development = [judging.batch(number) for number in range(JUDGED_BATCHES)]
    return lesson


def _sound_pools(stage: Stage, setting: Setting, seed: int | None = None) -> Pools[Any]:
    draw = partial(draw_sound, _mixture(stage, setting, seed))
    length = _length(stage, setting)
    return Pools(draw, lambda sound: len(sound.samples) // 160, batch_length=length, seed=seed or setting.seed)


def _turn_ends(stage: Stage, setting: Setting, assistant: Assistant) -> Lesson[Any]:
    def pools(seed: int | None = None) -> Pools[Any]:
        draw = partial(draw_pause, _mixture(stage, setting, seed))
        length = _length(stage, setting)
        return Pools(draw, lambda p: len(p.sound.samples) // 160, batch_length=length, seed=seed or setting.seed)

    lesson = TurnEndLesson(TaughtAssistant(assistant), _rates(stage, setting), pools())
    if setting.data == WORLD:
        judging = pools(DEVELOPMENT_SEED)
        lesson.development = [judging.batch(number) for number in range(JUDGED_BATCHES)]
    return lesson


_BUILDERS = {"seeing": _seeing, "answering": _answering, "hearing": _hearing, "turn ends": _turn_ends}


def _mixture(stage: Stage, setting: Setting, seed: int | None = None) -> Mixture:
    opened = open_sets(setting.data, setting.seed if seed is None else seed)
    return Mixture([Part(opened(share.of), share.share) for share in stage.sets])


def _rates(stage: Stage, setting: Setting, *thrown_away: str) -> Mapping[str, float]:
    rates = {f"{PART}.{part}": rate.tiny if setting.is_tiny else rate.full for part, rate in stage.trains.items()}
    return rates | dict.fromkeys(thrown_away, stage.head_rate)


def _length(stage: Stage, setting: Setting) -> int:
    return setting.batch_length or (stage.batch_length if setting.is_tiny else FULL_LENGTHS[stage.teaches])
