"""A small head on the speech encoder's frames that hears whether a sentence is finished: ours, and optional.

The original waits for silence alone; with this, a pause in the middle of a sentence can be told from its end.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class TurnEnd(nn.Module):
    """Hears whether what was said so far is a finished sentence."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.memory = nn.GRU(hidden, width, batch_first=True)  # the encoder's frames forget after 2.56 s
        self.out = nn.Linear(width, 1)

    def forward(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Go on listening.

        Args:
            frames: (B, T, hidden) encoder frames, T at least 1.
            state: (1, B, width) from the frames before; None at the start.

        Returns:
            (B, T) logits of "finished" after each frame, and the new state.
        """
        heard, last = cast(tuple[Tensor, Tensor], self.memory(frames, state))
        return self.out(heard)[..., 0], last
