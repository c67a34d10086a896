"""How a component's process uses its machine."""

from __future__ import annotations

import torch


def use_threads(count: int) -> None:
    """Let torch use `count` threads: on a laptop five processes share two cores, so one each is fastest."""
    torch.set_num_threads(count)
    torch.set_num_interop_threads(1)
