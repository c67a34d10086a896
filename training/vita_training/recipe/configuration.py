"""Which model is trained: a named configuration or a file, and its vocabulary."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any, cast

from vita15.config import CONFIGS, VitaConfig, component_config
from vita15.tokenizer import Tokenizer
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.start import Start


def load_config(name: str, tokenizer: Tokenizer, start: Start | None = None) -> VitaConfig:
    """Return a configuration, its tables large enough for the vocabulary.

    Args:
        name: one of CONFIGS, or a JSON file: `name`, and any components that differ from the full model's. If empty,
            sizes are those of what the run starts from, and tiny's if it starts from nothing.
        tokenizer: the vocabulary.
        start: ready components.

    Raises:
        RecipeError: the vocabulary is larger than the configuration's tables; as `Start.config`.
    """
    if start is not None and not name:
        known = start.model in CONFIGS
        config = start.config(load_config(start.model, tokenizer) if known else VitaConfig(start.model))
    else:
        name = name or "tiny"
        config = CONFIGS[name] if name in CONFIGS else _read(Path(name))
    if tokenizer.vocab_size > config.llm.vocab:
        raise RecipeError(f"{config.name}: tables of {config.llm.vocab} rows, a vocabulary of {tokenizer.vocab_size}")
    return config


def prepare_tokenizer(folder: Path, start: Start | None = None) -> Path:
    """Return the vocabulary of what a run starts from, or the small world's, made in its folder if it is not there.

    Raises:
        RecipeError: it starts from components of which none has a vocabulary.
    """
    if start is not None:
        return start.tokenizer()
    path = folder / "tokenizer.json"
    if not path.exists():
        from vita_training.world.tokenizer import make_tokenizer  # slow to import: it lists all that may be said

        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")  # two lanes may begin at once
        make_tokenizer().save(str(draft))
        draft.replace(path)
    return path


def can_compile() -> bool:
    """Whether torch.compile finds a C++ compiler."""
    return shutil.which("g++") is not None or shutil.which("clang++") is not None


def _read(path: Path) -> VitaConfig:
    values = cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
    known = {field.name for field in dataclasses.fields(VitaConfig)}
    if not values.keys() <= known or "name" not in values:
        raise ValueError(f"{path}: fields {', '.join(sorted(values))}; known: {', '.join(sorted(known))}")
    parts = {name: component_config(name, given) for name, given in values.items() if name != "name"}
    return VitaConfig(values["name"], **cast(Any, parts))
