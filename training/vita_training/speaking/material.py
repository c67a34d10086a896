"""What the voice is learnt from: the assistant's sentences in espeak-ng's voice, or recordings among the data.

espeak-ng stands in for the paper's 3,000 hours of made speech. What its library says depends, by some samples, on what
it said before, so all is said at once and in order: only then does a run that was killed end as one that was not.
Recordings are always the same, so they are read and encoded when they are drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tqdm import tqdm

from vita15.config import SAMPLES_PER_CODE
from vita_training.data.json_source import JsonSource
from vita_training.data.pools import Pools
from vita_training.recipe.sets import WORLD
from vita_training.speaking.clauses import Clauses, answers_in, choose, cut, words
from vita_training.speaking.codec_lesson import JUDGED, SPOKEN_S
from vita_training.speaking.corpus import Crops, CropSource, speak_all, speak_for
from vita_training.speaking.examples import Example, ExampleMaker, pools, positions, rarity
from vita_training.speaking.intelligibility import Listener
from vita_training.speaking.recordings import RecordedCrops, Recordings, read_recordings
from vita_training.speaking.voice import SpokenClause, Voice

SHIFTS = 2  # times each clause is encoded, at different shifts against the grid of codes

MakerOf = Callable[[Sequence[str]], ExampleMaker]  # for a vocabulary of words


@dataclass(frozen=True)
class Material:
    """What stage 3.2 learns."""

    examples: Pools[Example]
    word_count: int
    judged: tuple[Sequence[SpokenClause], Listener] | None  # None where the words are not a closed set


def sound_of(data: str, seed: int, crops: int) -> tuple[CropSource, Sequence[SpokenClause]]:
    """What stage 3.1 learns, `crops` a batch, and clauses to judge by."""
    recordings = read_recordings(data)
    if recordings is not None:
        judged = [recording.spoken() for recording in recordings.development]
        return RecordedCrops(recordings.train, seed, crops), judged
    voice, clauses = Voice(), choose(assistant_answers(data))
    drawn = Crops(speak_for(voice, clauses.train, SPOKEN_S), seed, crops)
    return drawn, speak_all(voice, clauses.development[:JUDGED])


def material_of(data: str, maker_of: MakerOf, subframes: int, *, batch_length: int, seed: int) -> Material:
    """What stage 3.2 learns, in batches of `batch_length` positions of text and codes."""
    recordings = read_recordings(data)
    if recordings is not None:
        return _recorded(recordings, maker_of, subframes, batch_length, seed)
    voice, clauses = Voice(), choose(assistant_answers(data))
    vocabulary = _vocabulary(clauses.train)
    examples = _examples(maker_of(vocabulary), voice, clauses, seed)
    judged = (speak_all(voice, clauses.development[:JUDGED]), world_listener()) if data == WORLD else None
    return Material(pools(examples, subframes, seed, batch_length), len(vocabulary), judged)


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


def _recorded(recordings: Recordings, maker_of: MakerOf, subframes: int, batch_length: int, seed: int) -> Material:
    texts = [recording.text for recording in recordings.train]
    vocabulary = _vocabulary(texts)
    maker, weights = maker_of(vocabulary), rarity([set(words(text)) for text in texts])

    def draw(rng: random.Random) -> Example:
        (recording,) = rng.choices(recordings.train, cum_weights=weights)
        return maker.make(recording.spoken(), rng.randrange(SAMPLES_PER_CODE))

    drawn = Pools(draw, lambda example: positions(example, subframes), batch_length=batch_length, seed=seed)
    return Material(drawn, len(vocabulary), None)


def _examples(maker: ExampleMaker, voice: Voice, clauses: Clauses, seed: int) -> list[Example]:
    """Speak clauses and encode each `SHIFTS` times: as it is, then moved by less than a code."""
    shifts = random.Random(seed)
    examples: list[Example] = []
    for clause in tqdm(clauses.train, "speaking and encoding", unit="clause", disable=None, leave=False):
        spoken = voice.speak(clause)
        examples.append(maker.make(spoken))
        examples += [maker.make(spoken, shifts.randrange(1, SAMPLES_PER_CODE)) for _ in range(SHIFTS - 1)]
    return examples


def _vocabulary(texts: Sequence[str]) -> list[str]:
    return sorted({word for text in texts for word in words(text)})
