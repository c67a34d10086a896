"""Stage 2.3, ours: a small head on the frozen speech encoder learns whether a sentence is finished.

It is asked in the pause after the words, over the last frames of a clip, as serving asks when it hears silence.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vita_training.data.media import Sound, hear
from vita_training.data.pools import Mixture, Pools
from vita_training.recipe.answering import TaughtAssistant
from vita_training.recipe.assistant import features_of

FINISHED, UNFINISHED = KINDS = ("finished", "unfinished")  # of a sample
ASKED_FRAMES = 5  # at a clip's end: the last 200 ms, all of them in the pause


@dataclass(frozen=True, slots=True)
class Pause:
    """A sentence or its beginning, and a pause."""

    sound: Sound
    is_finished: bool


@dataclass
class TurnEndLesson:
    """A batch is clips of about one length."""

    model: TaughtAssistant
    rates: Mapping[str, float]
    pools: Pools[Pause]
    development: Sequence[Sequence[Pause]] = ()  # batches to judge by

    def batch(self, number: int) -> list[Pause]:
        """See `Lesson`."""
        return self.pools.batch(number)

    def loss(self, batch: Sequence[Pause]) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson`."""
        logits, wanted = self._asked(batch)
        right = ((logits > 0) == (wanted > 0.5)).float().mean().item()
        return functional.binary_cross_entropy_with_logits(logits, wanted), {"right": right}

    def judge(self) -> dict[str, float]:
        """See `Lesson`: shares of pauses judged right, of each kind, at their last frame."""
        if not self.development:
            return {}
        with torch.autocast(self.model.assistant.device.type, dtype=torch.bfloat16):
            asked = [self._asked(batch) for batch in self.development]
        last, wanted = (torch.cat([pair[i][:, -1] for pair in asked]) for i in (0, 1))
        is_right = (last > 0) == (wanted > 0.5)
        return {name: is_right[wanted == float(name == FINISHED)].float().mean().item() for name in KINDS}

    def _asked(self, batch: Sequence[Pause]) -> tuple[Tensor, Tensor]:
        """Logits over each clip's last frames, (B, ASKED_FRAMES), and what they should be."""
        speech = self.model.assistant.speech
        assert speech.turn_end is not None  # teach.check_parts saw to it
        features, lengths = features_of([pause.sound for pause in batch], self.model.assistant.device)
        with torch.no_grad():
            frames, counts = speech.encode_frames(features, lengths, "stream")
        logits, _ = speech.turn_end(frames)
        places = (counts[:, None] - ASKED_FRAMES + torch.arange(ASKED_FRAMES, device=counts.device)).clamp_min(0)
        wanted = torch.tensor([float(pause.is_finished) for pause in batch], device=logits.device)
        return logits.float().gather(1, places), wanted[:, None].expand(-1, ASKED_FRAMES)


def draw_pause(mixture: Mixture, rng: random.Random) -> Pause:
    """Draw a clip that ends in a pause."""
    _, sample = mixture.draw(rng)
    return Pause(hear(sample.audio[0]), sample.kind == FINISHED)
