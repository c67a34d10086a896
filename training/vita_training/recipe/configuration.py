"""Which model is trained: a named configuration or a file, and its vocabulary."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, cast

from vita15.config import CONFIGS, VitaConfig, component_config
from vita15.tokenizer import Tokenizer
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.start import Start

Item = dict[str, Any]  # of the file, not yet checked


def load_config(name: str, tokenizer: Tokenizer, start: Start | None = None) -> VitaConfig:
    """Return a configuration, its tables large enough for the vocabulary.

    Args:
        name: one of CONFIGS, or a JSON file: `name`, and any components that differ from the full model's. If empty,
            sizes are those of what the run starts from, and tiny's if it starts from nothing.
        tokenizer: the vocabulary.
        start: ready components.

    Raises:
        RecipeError: there is no such configuration, a file's fields are not a configuration's, or the vocabulary is
            larger than its tables; as `Start.config`.
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
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"--config {path}: none of {', '.join(CONFIGS)}, and no file that can be read") from error
    except ValueError as error:
        raise RecipeError(f"--config {path}: is no JSON: {error}") from error
    if not isinstance(values, dict) or not isinstance(cast(Item, values).get("name"), str):
        raise RecipeError(f"--config {path}: wants an object with a `name`, and components that differ")
    given = cast(Item, values)
    try:
        parts = {name: _component(name, sizes) for name, sizes in given.items() if name != "name"}
    except ValueError as error:
        raise RecipeError(f"--config {path}: {error}") from error
    return VitaConfig(given["name"], **cast(Any, parts))


def _component(name: str, sizes: object) -> object:
    """One component's configuration.

    Raises:
        ValueError: the component, a field or the type of a value is unknown.
    """
    if not isinstance(sizes, dict):
        raise ValueError(f"{name}: wants an object of sizes")
    usual, made = component_config(name, {}), component_config(name, cast(dict[str, object], sizes))
    for field in cast(Item, sizes):
        wanted, value = type(getattr(usual, field)), getattr(made, field)
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ValueError(f"{name}: {field} is {value!r}, wants {wanted.__name__}")
    return made
