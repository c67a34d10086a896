"""The recipe: one row a stage. What trains (all else is frozen), on which shares of which sets, how fast and how long.

Rows are the stages that understand, 0.1 to 2.3. Those that speak, 3.1 and 3.2, have none: what they teach and their
numbers lie in vita_training/speaking (`codec_lesson.py`, `decoder_lesson.py`; `stages.py` puts them together).

1.1 to 2.2 and 3.1, 3.2 are the paper's, but without its adversarial losses in 3.1; sizes of steps are ours where it is
silent. 0.1 and 0.2 stand in for the ready tower and the ready language model that it starts from, and 2.3 is ours. Two
rates stand in each row: `tiny`'s, found by trial, and one for the full model. That is the published scripts' where they
have the stage (their batches are 512 and 256, by accumulation and `torchrun`); for 0.1, 0.2 and 2.3, which they do not
have, it is a guess that nobody has tried. Steps and batch lengths are tiny's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import is_within
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.sets import SetName

Teaches = Literal["seeing", "answering", "hearing", "turn ends"]

TOWER, PROJECTOR, LLM = "vision.tower", "vision.projector", "llm"
ADAPTER, PROMPT, TURN_END = "speech.adapter", "speech.prompt", "speech.turn_end"
ENCODER = ("speech.subsampling", "speech.input", "speech.blocks", "speech.after_norm")
NORMALISATION = ("speech.mean", "speech.inverse_deviation")  # set from the data, not by gradients
# What of a component may change when it is taught alone, to be served beside the others as they are. The language
# model's text table names the embedding space that the encoders fit, so it stays.
ALONE = {
    "vision_encoder": ("vision",),
    "speech_encoder": ("speech",),
    "llm": ("llm.model.layers", "llm.model.norm", "llm.lm_head"),
}


class Rate(NamedTuple):
    """Peak learning rates of a part."""

    tiny: float
    full: float


class Share(NamedTuple):
    """How much of a set is used."""

    of: SetName
    share: float
    is_transcribed: bool = False  # clips are written down, behind the vectors for transcription


@dataclass(frozen=True, slots=True)
class Stage:
    """A row."""

    name: str
    title: str
    teaches: Teaches
    after: tuple[str, ...]  # the stages whose weights it starts from; what those started from is included
    trains: Mapping[str, Rate]  # parts of the Assistant
    sets: tuple[Share, ...]
    schedule: Schedule  # tiny's
    batch_length: int  # tiny's: positions, tiles or feature frames a step
    head_rate: float = 2e-3  # of what is thrown away after the stage
    has_states: bool = False  # a head classifies the state, too


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="0.1",
            title="vision tower: what things are and where (stands in for InternViT)",
            teaches="seeing",
            after=(),
            trains={TOWER: Rate(1.5e-3, 1e-4)},
            sets=(Share("captions", 1.0),),
            schedule=Schedule(steps=8000, betas=(0.9, 0.98), weight_decay=0.02),  # shapes: 83 % at 2,400, 96 % at 5,000
            batch_length=48,
        ),
        Stage(
            name="0.2",
            title="language model: typed conversations (stands in for Qwen2)",
            teaches="answering",
            after=(),
            trains={LLM: Rate(1e-3, 2e-5)},
            sets=(Share("talks", 1.0),),
            schedule=Schedule(steps=1500),
            batch_length=1500,
        ),
        Stage(
            name="1.1",
            title="vision alignment",
            teaches="answering",
            after=("0.1", "0.2"),
            trains={PROJECTOR: Rate(2e-3, 5e-4)},
            sets=(Share("captions", 0.2),),
            schedule=Schedule(steps=300),
            batch_length=1500,
        ),
        Stage(
            name="1.2",
            title="vision understanding",
            teaches="answering",
            after=("1.1",),
            trains={TOWER: Rate(2e-4, 2e-6), PROJECTOR: Rate(8e-4, 2e-5), LLM: Rate(8e-4, 2e-5)},
            sets=(Share("captions", 1.0),),
            schedule=Schedule(steps=1000),
            batch_length=1500,
        ),
        Stage(
            name="1.3",
            title="vision instruction tuning",
            teaches="answering",
            after=("1.2",),
            trains={TOWER: Rate(2e-4, 2e-6), PROJECTOR: Rate(8e-4, 2e-5), LLM: Rate(8e-4, 2e-5)},
            sets=(Share("questions", 1.0), Share("captions", 0.2)),
            schedule=Schedule(steps=4200),
            batch_length=1500,
        ),
        Stage(
            name="2.1a",
            title="speech encoder: CTC",
            teaches="hearing",
            after=(),
            trains={part: Rate(1.2e-3, 1e-4) for part in (*ENCODER, *NORMALISATION)},
            sets=(Share("transcripts", 1.0),),
            schedule=Schedule(steps=7000, betas=(0.9, 0.98), weight_decay=0.01),
            batch_length=8000,
        ),
        Stage(
            name="2.1b",
            title="speech adapter: transcription by the frozen language model",
            teaches="answering",
            after=("1.3", "2.1a"),
            trains={ADAPTER: Rate(2e-3, 5e-4), PROMPT: Rate(2e-3, 5e-4)},
            sets=(Share("transcripts", 1.0, is_transcribed=True),),
            schedule=Schedule(steps=1200),
            batch_length=1500,
        ),
        Stage(
            name="2.2",
            title="audio instruction tuning",
            teaches="answering",
            after=("2.1b",),
            # The paper trains the encoder as well, the published script freezes it; so do we.
            trains={
                PROJECTOR: Rate(6e-4, 1e-5),
                ADAPTER: Rate(6e-4, 1e-5),
                PROMPT: Rate(6e-4, 1e-5),
                LLM: Rate(6e-4, 1e-5),
            },
            # The paper takes 4 % of its captions and 20 % of its questions again, half of the questions spoken. The
            # small world draws a set of its own instead (world/sources.py, speech_and_noise), other samples than those
            # of 1.2 and 1.3: 10 % captions, 4 % noise alone, the rest conversations, half of their questions spoken.
            # Shares of 4 % and 20 % of its sets would leave one caption in 41. Transcription goes on (ours): the
            # adapter moves, and the vectors for transcription would no longer fit it.
            sets=(Share("speech_and_noise", 1.0), Share("transcripts", 1.0, is_transcribed=True)),
            schedule=Schedule(steps=5600),
            batch_length=1500,
            has_states=True,
        ),
        Stage(
            name="2.3",
            title="end of turn (ours)",
            teaches="turn ends",
            after=("2.1a",),
            trains={TURN_END: Rate(2e-3, 5e-4)},
            sets=(Share("turn_ends", 1.0),),
            schedule=Schedule(steps=1000),
            batch_length=8000,
        ),
    )
}

# Stages without a row, by what each starts from: their lessons and numbers lie in vita_training/speaking.
SPEAKING: Mapping[str, tuple[str, ...]] = {"3.1": (), "3.2": ("3.1",)}


def starts_from(stage: Stage) -> list[Stage]:
    """The stages whose weights a stage starts from, in the order of the table."""
    needed: set[str] = set()
    waiting = list(stage.after)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting += STAGES[name].after
    return [each for name, each in STAGES.items() if name in needed]


def narrowed(stage: Stage, component: str) -> Stage:
    """The stage, training no more than one component (of ALONE).

    Raises:
        RecipeError: it trains nothing of it.
    """
    trains: dict[str, Rate] = {}
    for part, rate in stage.trains.items():
        if is_within(part, ALONE[component]):
            trains[part] = rate
        trains |= {alone: rate for alone in ALONE[component] if is_within(alone, (part,))}
    if not trains:
        raise RecipeError(f"stage {stage.name} trains nothing of {component}; it trains {', '.join(stage.trains)}")
    return replace(stage, trains=trains)
