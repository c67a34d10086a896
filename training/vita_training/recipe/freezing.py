"""What a stage may change and what it must leave alone, to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer


class FrozenChanged(Exception):
    """A part that the stage must not touch is no longer what it was; the stage's result is not to be used."""


def is_within(name: str, parts: Iterable[str]) -> bool:
    """Whether a tensor's name lies in one of the parts: "llm.lm_head.weight" lies in "llm"."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def freeze(model: nn.Module, trained: Iterable[str]) -> None:
    """Let only the `trained` parts learn: all else has no gradient and is in evaluation mode.

    A frozen layer that is to keep less of its forward pass says that it is in training mode, or transformers would keep
    all. What is in it is not, so nothing is dropped out.
    """
    parts = tuple(trained)
    for name, parameter in model.named_parameters():
        if not is_within(name, parts):
            parameter.requires_grad_(False)
    model.eval()
    for name, module in model.named_modules():
        if name in parts:
            module.train()
        elif isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
            module.training = True


def digests(model: nn.Module, trained: Iterable[str]) -> dict[str, str]:
    """sha256 of every stored tensor, buffers included, outside the `trained` parts."""
    parts = tuple(trained)
    return {name: _digest(tensor) for name, tensor in model.state_dict().items() if not is_within(name, parts)}


def check_frozen(before: dict[str, str], after: dict[str, str]) -> None:
    """Compare digests.

    Raises:
        FrozenChanged: they differ; the message names the tensors.
    """
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise FrozenChanged(f"frozen, but changed: {', '.join(changed[:8])}{' …' if len(changed) > 8 else ''}")


def _digest(tensor: Tensor) -> str:
    stored = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(stored.view(torch.uint8).numpy().data).hexdigest()
