"""A batch on its way into the language model."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Embedded:
    """A batch's embeddings, and apart from them what the media became."""

    rows: Tensor  # (B, T, embed)
    pictures: Tensor | None = None  # (n, embed), of all pictures
    labels: Tensor | None = None  # (n, 3)
    speech: Tensor | None = None  # (clips, T3, embed)
    counts: Tensor | None = None  # (clips,)
    said: list[str] = field(default_factory=list[str])
