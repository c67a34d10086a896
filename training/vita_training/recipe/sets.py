"""The sets that a stage names: the small world's, drawn when they are asked for, or files in the original's format."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Literal

from vita_training.data.json_source import JsonSource
from vita_training.data.sample import Source
from vita_training.recipe.errors import RecipeError
from vita_training.world import sources

SetName = Literal["captions", "questions", "talks", "transcripts", "speech_and_noise", "turn_ends"]
WORLD = "world"
DEVELOPMENT_SEED = 900_001  # of the samples that judge a stage while it runs; the held-out sets are for evaluation

OpenSet = Callable[[SetName], Source]


def open_sets(data: str, seed: int) -> OpenSet:
    """Return what opens the sets of `data`: `world`, a folder holding `<set>.json`, or one file that is every set.

    What it returns raises RecipeError where a set is missing, empty or not of the original's format.
    """
    return partial(_world_set, seed) if data == WORLD else partial(_file_set, Path(data))


@cache
def _file_set(path: Path, name: SetName) -> Source:
    file = path / f"{name}.json" if path.is_dir() else path
    if not file.is_file():
        raise RecipeError(
            f"{file}: no such file; --data is `{WORLD}`, a folder of <set>.json, or one file for all sets"
        )
    source = JsonSource(file)
    if not len(source):
        raise RecipeError(f"{file}: holds no samples")
    return source


def _world_set(seed: int, name: SetName) -> Source:
    match name:
        case "captions":
            return sources.captions(seed)
        case "questions":
            return sources.questions(seed)
        case "talks":
            return sources.text_only(seed)
        case "transcripts":
            return sources.transcripts(seed, recordings=_recordings())
        case "speech_and_noise":
            return sources.speech_and_noise(seed, recordings=_recordings())
        case "turn_ends":
            return sources.turn_ends(seed, recordings=_recordings())


@cache
def _recordings() -> sources.Recordings:
    return sources.load_recordings()
