"""What a killed run goes on from: one safetensors file with the trained weights, the optimizer's state and the step.

Frozen weights are not in it, only their digests: they come from the component they were loaded from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import digests, is_within

MODEL, OPTIMIZER = "model.", "optimizer."
TOLD = ("data", "seed", "rate", "accumulation")  # of what a run was asked for, in a manifest; steps are told as a sum


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0  # steps done
    seconds: float = 0.0  # spent on them
    skipped: int = 0  # steps left out for a gradient that was not finite
    is_finished: bool = False
    frozen: dict[str, str] = field(default_factory=dict[str, str])  # digests at the run's start
    # What the run was asked for: seed, steps, data, rate, accumulation. Snapshots of before this was kept have none.
    asked: dict[str, str | float] = field(default_factory=dict[str, str | float])


def save(
    path: Path, progress: Progress, model: nn.Module, trained: tuple[str, ...], optimizer: torch.optim.Optimizer
) -> None:
    """Replace the snapshot at once: a kill leaves the last whole one. A finished run needs no optimizer's state."""
    tensors = {f"{MODEL}{name}": t for name, t in model.state_dict().items() if is_within(name, trained)}
    for index, state in _states(optimizer).items() if not progress.is_finished else ():
        tensors |= {f"{OPTIMIZER}{index}.{name}": value for name, value in state.items()}
    draft = path.with_suffix(".draft")
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(stored, draft, {"progress": json.dumps(progress.__dict__)})
    os.replace(draft, path)


def load(path: Path, model: nn.Module, trained: tuple[str, ...], optimizer: torch.optim.Optimizer) -> Progress:
    """Fill model and optimizer from a snapshot; a fresh Progress if there is none.

    Raises:
        RecipeError: the snapshot is of another model or of other trained parts; nothing was filled.
    """
    if not path.exists():
        return Progress()
    progress, tensors = _read(path)
    weights = {n.removeprefix(MODEL): t for n, t in tensors.items() if n.startswith(MODEL)}
    expected = {name for name in model.state_dict() if is_within(name, trained)}
    if weights.keys() != expected:
        differing = sorted(weights.keys() ^ expected)
        raise RecipeError(f"{path}: a snapshot of other parts, such as {', '.join(differing[:4])}")
    _check_shapes(path, weights, model.state_dict())
    model.load_state_dict(weights, strict=False)
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            index, key = name.removeprefix(OPTIMIZER).split(".", 1)
            states.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return progress


def read_progress(path: Path) -> Progress:
    """How far the run of a snapshot is; not begun, if there is none."""
    if not path.exists():
        return Progress()
    with safe_open(path, "pt") as stored:
        return Progress(**json.loads(stored.metadata()["progress"]))


def check_asked(path: Path, asked: Mapping[str, str | float]) -> None:
    """See that a run goes on as it began; what either does not say is not compared.

    Raises:
        RecipeError: it was asked for something else.
    """
    for name, old in read_progress(path).asked.items():
        new = asked.get(name, old)
        if new != old:
            raise RecipeError(
                f"{path}: {name} was {old} and is {new} now; ask for the same, or choose another --folder"
            )


def told(runs: Sequence[Progress]) -> str:
    """Say what runs were asked for: "data world, seed 0 and 1, …"; "unknown" where a snapshot has no record."""
    values = {name: dict.fromkeys(str(run.asked.get(name, "unknown")) for run in runs) for name in TOLD}
    return ", ".join(f"{name} {' and '.join(distinct)}" for name, distinct in values.items())


def trained(path: Path, part: str) -> set[str]:
    """Names, within a part of the model, of the tensors that a run trained; none, if there is none."""
    return {name.removeprefix(f"{part}.") for name in names(path) if name.startswith(f"{part}.")}


def names(path: Path) -> set[str]:
    """Names, within the lesson's model, of the tensors that a run trained; none, if there is none."""
    if not path.exists():
        return set()
    with safe_open(path, "pt") as stored:
        return {name.removeprefix(MODEL) for name in stored.keys() if name.startswith(MODEL)}  # noqa: SIM118


def differing(path: Path, noted: Mapping[str, str]) -> list[str]:
    """Names of a run's tensors that are not those of the `noted` digests (freezing.py), in whatever precision."""
    with safe_open(path, "pt") as stored:
        return [name for name in noted if noted[name] not in _digests(cast(Tensor, stored.get_tensor(MODEL + name)))]


def load_part(path: Path, part: str, module: nn.Module) -> None:
    """Fill `module`, which was `part` of the model of a finished run, with what that run trained of it.

    Raises:
        RecipeError: there is no such run, it is not finished, or its part is no part of `module`; nothing was filled.
    """
    progress, tensors = _read(path) if path.exists() else (Progress(), {})
    if not progress.is_finished:
        raise RecipeError(f"{path}: no finished run")
    prefix = f"{MODEL}{part}."
    weights = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    wanted = module.state_dict()
    unexpected = [name for name in weights if name not in wanted]
    if unexpected:
        raise RecipeError(f"{path}: {', '.join(unexpected[:4])} of another model")
    _check_shapes(path, weights, wanted)
    module.load_state_dict(weights, strict=False)


def _check_shapes(path: Path, stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name, tensor in stored.items():
        ours, theirs = tuple(wanted[name].shape), tuple(tensor.shape)
        if ours != theirs:
            raise RecipeError(f"{path}: {name} is {theirs}, and {ours} in this configuration")


def _digests(tensor: Tensor) -> Iterator[str]:
    """A tensor's digests as it is, and as another stage may have held it."""
    others = (torch.float32, torch.bfloat16) if tensor.is_floating_point() else ()
    for dtype in (tensor.dtype, *others):
        holder = nn.Module()
        holder.register_buffer("held", tensor.to(dtype))
        yield from digests(holder, ()).values()


def _read(path: Path) -> tuple[Progress, dict[str, Tensor]]:
    with safe_open(path, "pt") as stored:
        return read_progress(path), {name: cast(Tensor, stored.get_tensor(name)) for name in stored.keys()}  # noqa: SIM118


def _states(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    return cast(dict[int, dict[str, Tensor]], cast(Any, optimizer.state_dict())["state"])
