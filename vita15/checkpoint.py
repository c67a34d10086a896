"""Checkpoints: one folder a component, holding `manifest.json`, `model.safetensors` and perhaps `tokenizer.json`.

The manifest is the authority: sizes, digests, licence, and the contract tags that say which components fit together.
Only safetensors are read; nothing is unpickled and nothing is fetched.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vita15.config import component_config
from vita15.errors import CheckpointError

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
FORMAT_VERSION = "1"

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class ComponentConfig(Protocol):
    """Any of the configurations in vita15.config."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file beside the manifest."""

    file: str  # a plain name: never a path
    sha256: str
    dtype: str = ""  # of the weights


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a component's folder holds."""

    component: str
    model: str
    version: str
    config: dict[str, object]
    weights: ManifestFile
    tokenizer: ManifestFile | None
    contract: dict[str, str]  # tags that must match across an edge: embedding_space, codebook, text
    licence: str
    training_run: str

    def component_config(self) -> object:
        """Rebuild the component's configuration dataclass."""
        return component_config(self.component, self.config)


def save_component(
    folder: Path,
    component: str,
    config: ComponentConfig,
    module_state: Mapping[str, Tensor],
    *,
    contract: Mapping[str, str],
    licence: str,
    training_run: str,
    tokenizer: Path | None = None,
    model: str = "tiny",
    version: str = "1",
) -> Manifest:
    """Write a component's folder; the manifest comes last, so that a half-written folder has none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    save_file({name: _stored(tensor) for name, tensor in module_state.items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone; services run as someone else
    if tokenizer is not None and tokenizer.resolve() != (folder / TOKENIZER).resolve():
        shutil.copyfile(tokenizer, folder / TOKENIZER)
    manifest = Manifest(
        component=component,
        model=model,
        version=version,
        config=dataclasses.asdict(cast(Any, config)),
        weights=ManifestFile(WEIGHTS, sha256_of(folder / WEIGHTS), "float16"),
        tokenizer=None if tokenizer is None else ManifestFile(TOKENIZER, sha256_of(folder / TOKENIZER)),
        contract=dict(contract),
        licence=licence,
        training_run=training_run,
    )
    _write_json(folder / MANIFEST, {"format": FORMAT_VERSION, **dataclasses.asdict(manifest)})
    return manifest


def load_manifest(folder: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        CheckpointError: it is missing, malformed, or names an unknown component or configuration field.
    """
    path = folder / MANIFEST
    try:
        values = cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
        if values.pop("format", None) != FORMAT_VERSION:
            raise CheckpointError(f"{path}: format is not {FORMAT_VERSION!r}")
        tokenizer = values.pop("tokenizer")
        manifest = Manifest(
            weights=ManifestFile(**values.pop("weights")),
            tokenizer=None if tokenizer is None else ManifestFile(**tokenizer),
            **values,
        )
        _check_texts(manifest)
        manifest.component_config()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    for entry in (manifest.weights, manifest.tokenizer):
        if entry is not None and (Path(entry.file).name != entry.file or entry.file in ("", ".", "..")):
            raise CheckpointError(f"{path}: {entry.file!r} is not a plain file name")
    return manifest


def load_state(folder: Path, *, dtype: torch.dtype = torch.float32, is_verified: bool = True) -> dict[str, Tensor]:
    """Read a component's weights to the CPU, floating tensors as `dtype`.

    Raises:
        CheckpointError: the file is missing, damaged, or its digest is not the manifest's.
    """
    path = _checked(folder, load_manifest(folder).weights, is_verified=is_verified)
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def load_into(module: ModuleT, folder: Path, *, dtype: torch.dtype = torch.float32) -> ModuleT:
    """Fill `module` from a component's folder, every key in both, and return it in evaluation mode.

    Its weights become `dtype`; tables that are computed and not stored stay as precise as they are.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; as `load_state` otherwise.
    """
    try:
        module.load_state_dict(load_state(folder, dtype=dtype), strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    return module.eval()


def tokenizer_path(folder: Path) -> Path:
    """Return the component's own tokenizer file, its digest checked.

    Raises:
        CheckpointError: the component has none, or the file is not the one it was.
    """
    entry = load_manifest(folder).tokenizer
    if entry is None:
        raise CheckpointError(f"{folder / MANIFEST}: this component has no tokenizer")
    return _checked(folder, entry, is_verified=True)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_texts(manifest: Manifest) -> None:
    named: dict[str, object] = {
        name: getattr(manifest, name) for name in ("component", "model", "version", "licence", "training_run")
    }
    for entry in (manifest.weights, manifest.tokenizer):
        if entry is not None:
            named |= {"file": entry.file, "sha256": entry.sha256, "dtype": entry.dtype}
    named |= {f"contract.{tag}": value for tag, value in manifest.contract.items()}
    for name, value in named.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} is {value!r}, not text")


def _checked(folder: Path, entry: ManifestFile, *, is_verified: bool) -> Path:
    path = folder / entry.file
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if is_verified and sha256_of(path) != entry.sha256:
        raise CheckpointError(f"{path}: its sha256 is not the manifest's; the file was changed or is damaged")
    return path


def _stored(tensor: Tensor) -> Tensor:
    # Vectors (norms, biases, mean and deviation of the features) cost nothing and suffer most from fewer bits.
    narrow = tensor.is_floating_point() and tensor.dim() > 1
    return tensor.detach().cpu().to(torch.float16 if narrow else tensor.dtype).contiguous().clone()


def _write_json(path: Path, values: object) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
