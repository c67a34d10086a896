"""A component's Triton repository: `model_repo/<component>` and the checkpoint's manifest, rendered into one folder.

The committed `config.pbtxt` knows no sizes; the manifest is the authority. Rendering copies the model, fills in widths,
device and parameters, compiles the Python and takes away the right to write: Triton would otherwise take the
`__pycache__` that the first import leaves for a change of every version.
"""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from vita_runtime.errors import StartupError
from vita_runtime.launcher.reaper import remove_tree

COMPONENTS = ("vision_encoder", "speech_encoder", "llm", "speech_decoder", "codec_decoder")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What rendering needs of a checkpoint's manifest.json."""

    component: str
    model: str
    version: str
    embed_width: int | None  # width of the embeddings the component makes or takes
    contract: dict[str, str]  # tags that must match across components


def read_manifest(folder: Path, component: str) -> Manifest:
    """Read `folder/manifest.json`.

    Raises:
        StartupError: it is missing, is not JSON, or belongs to another component.
    """
    file = folder / "manifest.json"
    try:
        values = cast("dict[str, object]", json.loads(file.read_text()))
        config = cast("dict[str, object]", values["config"])
        contract = cast("dict[str, object]", values.get("contract", {}))
        # The language model's embeddings are as wide as its hidden states.
        width = config.get("embed", config.get("hidden")) if component != "speech_decoder" else None
        manifest = Manifest(
            str(values["component"]),
            str(values["model"]),
            str(values["version"]),
            int(str(width)) if width is not None and component != "codec_decoder" else None,
            {name: str(tag) for name, tag in contract.items()},
        )
    except FileNotFoundError as error:
        raise StartupError(
            f"{file} is missing; name a checkpoint with --checkpoint, or make one with "
            f"`python -m vita15.random_checkpoint --config tiny --out {folder.parent}`"
        ) from error
    except (KeyError, ValueError, AttributeError) as error:
        raise StartupError(f"{file} is not a manifest: {error!r}") from error
    if manifest.component != component:
        raise StartupError(f"{file} belongs to {manifest.component!r}, not to {component!r}")
    return manifest


def render(
    component: str, source: Path, checkpoint: Path, target: Path, *, device: str, settings: Mapping[str, str]
) -> None:
    """Write `target/<component>`, a model repository of one model, from `source/<component>` and the checkpoint.

    Args:
        component: one of COMPONENTS.
        source: the folder model_repo.
        checkpoint: the folder with one subfolder a component.
        target: the repository; made anew.
        device: "cpu", "cuda" or "cuda:N".
        settings: further parameters of the model, by name.

    Raises:
        StartupError: the model or its checkpoint is missing or malformed.
    """
    if not (source / component / "config.pbtxt").is_file():
        raise StartupError(f"{source / component} is not a Triton model: it has no config.pbtxt")
    manifest = read_manifest(checkpoint / component, component)
    model = target / component
    remove_tree(target)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / component, model, ignore=ignore)
    parameters = {
        "weights": str((checkpoint / component).resolve()),
        "device": device,
        "model": manifest.model,
        "model_version": manifest.version,
        **{f"contract_{name}": tag for name, tag in manifest.contract.items()},
        **settings,
    }
    config = (model / "config.pbtxt").read_text()
    (model / "config.pbtxt").write_text(render_config(config, manifest.embed_width, device, parameters))
    compileall.compile_dir(str(model), quiet=1)
    _forbid_writing(target)


def render_config(config: str, embed_width: int | None, device: str, parameters: Mapping[str, str]) -> str:
    """Return a `config.pbtxt` with the widths of EMBEDDINGS, the kind of instance and the parameters filled in."""
    if embed_width is not None:
        pattern = r'(name:\s*"EMBEDDINGS"[^}]*?dims:\s*\[\s*-1\s*,\s*)-1(\s*\])'
        config = re.sub(pattern, rf"\g<1>{embed_width}\g<2>", config)
    is_gpu = device.startswith("cuda")
    config = re.sub(r"kind:\s*KIND_\w+", "kind: KIND_GPU" if is_gpu else "kind: KIND_CPU", config)
    entries = [
        f"parameters {{ key: {json.dumps(name)} value {{ string_value: {json.dumps(value)} }} }}\n"
        for name, value in sorted(parameters.items())
    ]
    return config.rstrip("\n") + "\n\n# Rendered from the checkpoint's manifest.\n" + "".join(entries)


def _forbid_writing(folder: Path) -> None:
    """Take away the right to write in a tree."""
    for path, _, files in os.walk(folder):
        for file in files:
            os.chmod(os.path.join(path, file), 0o444)
        os.chmod(path, 0o555)
