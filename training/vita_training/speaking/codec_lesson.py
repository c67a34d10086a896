"""Stage 3.1: the codec (encoder, codebook, decoder) learns the voice.

First an autoencoder without quantisation; after `QUANTISE_SHARE` of the steps the codebook is laid by k-means and
followed from then on. A share of each batch bypasses it, so that the encoder keeps a direct gradient. The losses
compare spectra: no adversary, so a voice that is clear and somewhat hoarse.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vita_training.recipe.schedule import Schedule
from vita_training.speaking.codec import Codec, nearest
from vita_training.speaking.corpus import CropSource
from vita_training.speaking.measures import resynthesis
from vita_training.speaking.spectra import spectral_loss
from vita_training.speaking.voice import SpokenClause

SCHEDULE = Schedule(
    steps=6_000,
    warmup_share=0.02,
    floor=0.04,
    clip=5.0,
    betas=(0.8, 0.99),  # HiFi-GAN's
    weight_decay=0.01,
    judge_steps=500,
)
PEAK_RATE = 1.2e-3
SPOKEN_S = 80 * 60  # of the voice to draw crops from; 350 MB
QUANTISE_SHARE = 0.1  # of the steps: from then on through the codebook
BYPASS = 0.15  # of the batch, once quantised
COMMITMENT = 0.5
KMEANS_BATCHES = 30
JUDGED = 40  # development clauses


class CodecLesson:
    """Teaches crops of speech to come back through the codes. A batch is sound."""

    def __init__(
        self,
        model: Codec,
        crops: CropSource,
        development: Sequence[SpokenClause],
        steps: int,
        accumulation: int = 1,
    ) -> None:
        """Take a fresh codec, what to learn, clauses to judge by, the schedule's steps and the batches of a step."""
        self.model, self._crops, self._development = model, crops, development
        self._quantise_at = round(QUANTISE_SHARE * steps) * accumulation  # batches

    @property
    def rates(self) -> dict[str, float]:
        """See `Lesson`."""
        return {"encoder": PEAK_RATE, "decoder": PEAK_RATE, "means": 0.0}

    def batch(self, number: int) -> Tensor:
        """See `Lesson`."""
        return self._crops.batch(number)

    def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson`."""
        sound = batch.to(self.model.codebook.device)
        vectors, commitment = self._quantised(self.model.encoder(sound))
        loss, mel = spectral_loss(self.model.decoder.generate(vectors.transpose(1, 2)), sound)
        return loss + COMMITMENT * commitment, {"mel": mel.item(), "commitment": commitment.item()}

    def judge(self) -> dict[str, float]:
        """See `Lesson`: mel distance, STOI and use of codes on development clauses."""
        return resynthesis(self.model, self._development) if self._development else {}

    def _quantised(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Put codebook rows in the place of most vectors (B, T, dim), with their gradients; and the commitment loss."""
        means, codebook = self.model.means, self.model.codebook
        means.batches += 1
        if means.batches <= self._quantise_at:
            return vectors, vectors.new_zeros(())
        if means.batches == self._quantise_at + 1:
            self._lay_codebook()
        rows = nearest(vectors.detach(), codebook)
        chosen = codebook[rows]
        means.follow(vectors.detach().flatten(0, 1), rows.flatten(), codebook)
        kept = (torch.rand(len(vectors), 1, 1, device=vectors.device) >= BYPASS).float()
        return vectors + kept * (chosen - vectors).detach(), (vectors - chosen).square().mean()

    @torch.no_grad()
    def _lay_codebook(self) -> None:
        device = self.model.codebook.device
        crops = (self._crops.batch(-1 - i) for i in range(KMEANS_BATCHES))
        vectors = torch.cat([self.model.encoder(crop.to(device)).flatten(0, 1) for crop in crops])
        self.model.means.start(vectors, self.model.codebook)
