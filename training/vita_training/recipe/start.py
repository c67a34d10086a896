"""Ready components that a run starts from: they stand in for the stages that would have made them.

A checkpoint holds a folder a component (vita15/checkpoint.py), and need not hold them all: a tower and a language model
are what stage 1.1 starts from, all three that understand are what 2.2 is taught again on. What the run's own folder
holds of finished stages lies over it, in the order of the table. A part that neither holds, and that an earlier stage
would have trained, is an error; one that none would have is drawn by the seed.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vita15.checkpoint import MANIFEST, Manifest, load_manifest, load_state, tokenizer_path
from vita15.config import VitaConfig
from vita_training.recipe import snapshot
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import is_within
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.stages import Stage

NOTE = "start.json"  # in a run's folder: the sha256 of each component's weights
COMPONENTS = tuple(field.name for field in dataclasses.fields(VitaConfig) if field.name != "name")
MODULES = {"vision_encoder": "vision", "speech_encoder": "speech", "llm": "llm"}  # of the Assistant, by component


@dataclass(frozen=True)
class Start:
    """A checkpoint's components."""

    checkpoint: Path
    manifests: Mapping[str, Manifest]  # by component; those that there are

    @classmethod
    def open(cls, checkpoint: Path) -> Start:
        """Read what a checkpoint holds.

        Raises:
            RecipeError: it holds no component, or one under another's name.
            CheckpointError: a manifest is malformed.
        """
        present = [name for name in COMPONENTS if (checkpoint / name / MANIFEST).is_file()]
        if not present:
            raise RecipeError(f"{checkpoint}: holds none of {', '.join(COMPONENTS)}")
        manifests = {name: load_manifest(checkpoint / name) for name in present}
        for name, manifest in manifests.items():
            if manifest.component != name:
                raise RecipeError(f"{checkpoint / name}: is a {manifest.component}")
        return cls(checkpoint, manifests)

    def __str__(self) -> str:
        """Each component's version and the beginning of its weights' sha256."""
        return ", ".join(f"{n} {m.version} ({m.weights.sha256[:8]})" for n, m in self.manifests.items())

    @property
    def model(self) -> str:
        """The name of its model: the language model's, if it holds one."""
        return (self.manifests.get("llm") or next(iter(self.manifests.values()))).model

    def tokenizer(self) -> Path:
        """Its vocabulary.

        Raises:
            RecipeError: it holds none.
        """
        for name in ("llm", "speech_decoder"):
            if name in self.manifests and self.manifests[name].tokenizer is not None:
                return tokenizer_path(self.checkpoint / name)
        raise RecipeError(f"{self.checkpoint}: holds no vocabulary; name one with --tokenizer")

    def config(self, base: VitaConfig) -> VitaConfig:
        """The sizes that its manifests give, and `base`'s where it holds nothing, fit to the language model's width.

        Raises:
            RecipeError: an encoder does not make what the language model reads.
        """
        given = {name: manifest.component_config() for name, manifest in self.manifests.items()}
        config = replace(base, **given)  # type: ignore[arg-type] - each is of its field's type
        wanted = config.llm.hidden
        for name in ("vision_encoder", "speech_encoder"):
            if name not in given:
                config = replace(config, **{name: replace(getattr(config, name), embed=wanted)})
            width = getattr(config, name).embed
            if width != wanted:
                raise RecipeError(f"{self.checkpoint}: {name} gives {width} values a token, the llm takes {wanted}")
        return config

    def tensor(self, component: str, name: str) -> Tensor:
        """One of a component's tensors, float32.

        Raises:
            RecipeError: it has none of this name.
        """
        state = load_state(self.checkpoint / component)
        if name not in state:
            raise RecipeError(f"{self.checkpoint / component}: holds no {name}")
        return state[name]

    def fill(self, module: nn.Module, component: str, dtype: torch.dtype) -> set[str]:
        """Fill a component's module; return the names of its tensors that the checkpoint does not hold.

        Raises:
            RecipeError: a tensor is of another shape, or has no place in the module; nothing was filled.
            CheckpointError: the weights are damaged.
        """
        wanted = module.state_dict()
        if component not in self.manifests:
            return set(wanted)
        folder = self.checkpoint / component
        stored = load_state(folder, dtype=dtype)
        for name, tensor in stored.items():
            if name not in wanted:
                raise RecipeError(f"{folder}: {name} has no place in this configuration")
            ours, theirs = tuple(wanted[name].shape), tuple(tensor.shape)
            if ours != theirs:
                raise RecipeError(f"{folder}: {name} is {theirs}, and {ours} in this configuration")
        module.load_state_dict(stored, strict=False)
        return wanted.keys() - stored.keys()

    def fill_assistant(self, assistant: nn.Module, stood_in_for: Iterable[Stage]) -> None:
        """Fill what understands, in the place of some stages; its weights keep their types.

        Raises:
            RecipeError: a tensor is missing that one of those stages would have trained; as `fill` otherwise.
        """
        missing: dict[str, str] = {}  # what to call it, by its name in the assistant
        for component, part in MODULES.items():
            module = assistant.get_submodule(part)
            for name in sorted(self.fill(module, component, _most_precise(module))):
                missing[f"{part}.{name}"] = f"{component} with {name}" if component in self.manifests else component
        for stage in stood_in_for:
            for name, called in missing.items():
                if is_within(name, stage.trains):
                    raise RecipeError(
                        f"{self.checkpoint}: holds no {called}, and stage {stage.name}, which makes it, "
                        "is not finished in this run's folder"
                    )


def _most_precise(module: nn.Module) -> torch.dtype:
    """The type to read weights in: what is trained keeps all their digits, and frozen halves take no more memory."""
    types = {parameter.dtype for parameter in module.parameters()}
    return torch.float32 if torch.float32 in types else types.pop()


def stages_left(folder: Path, before: Sequence[Stage]) -> tuple[list[Stage], list[Stage]]:
    """Part the stages before one into those that are finished in the run's folder and those that never began.

    Raises:
        RecipeError: one has begun and is not finished.
    """
    finished: list[Stage] = []
    absent: list[Stage] = []
    for stage in before:
        path = folder / stage.name / SNAPSHOT
        if path.exists() and not snapshot.read_progress(path).is_finished:
            raise RecipeError(f"{path}: stage {stage.name} has begun here and is not finished")
        (finished if path.exists() else absent).append(stage)
    return finished, absent


def check_start(start: Start | None, folder: Path) -> None:
    """Note in a run's folder what it starts from, and see that all its stages start from the same.

    Raises:
        RecipeError: those that are there began from something else; nothing was written.
    """
    note = folder / NOTE
    digests = {name: manifest.weights.sha256 for name, manifest in start.manifests.items()} if start else None
    noted = json.loads(note.read_text(encoding="utf-8")) if note.exists() else None
    if noted != digests and any(folder.glob(f"*/{SNAPSHOT}")):
        origin = "without a checkpoint" if noted is None else "from another checkpoint" if start else "with --start"
        raise RecipeError(f"{folder}: its stages began {origin}; begin this one so, or choose another --folder")
    if digests is None:
        note.unlink(missing_ok=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    draft = note.with_suffix(f".{os.getpid()}")  # torchrun's processes all come here
    draft.write_text(json.dumps(digests), encoding="utf-8")
    os.replace(draft, note)
