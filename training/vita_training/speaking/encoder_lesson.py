"""Stage 3.1 upon a ready `codec_decoder`: an encoder learns to write in the codes that it reads.

What is served of a codec is its decoder alone, so a checkpoint cannot tell which codes a sound is. Decoder and codebook
stay as they are, to the bit; a speech decoder that stage 3.2 then teaches fits them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vita_training.speaking.codec import nearest
from vita_training.speaking.codec_lesson import BYPASS, PEAK_RATE, CodecLesson


class EncoderLesson(CodecLesson):
    """Teaches crops of speech to come back through codes that are given. A batch is sound."""

    @property
    def rates(self) -> dict[str, float]:
        """See `Lesson`."""
        return {"encoder": PEAK_RATE}

    def _quantised(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        chosen = self.model.codebook[nearest(vectors.detach(), self.model.codebook)]
        kept = (torch.rand(len(vectors), 1, 1, device=vectors.device) >= BYPASS).float()
        return vectors + kept * (chosen - vectors).detach(), (vectors - chosen).square().mean()
