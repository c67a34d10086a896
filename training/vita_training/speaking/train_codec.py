"""Stage 3.1: train the codec (encoder, codebook, decoder) on the synthetic voice.

    python -m vita_training.speaking.train_codec --out .vita/training/codec --minutes 18

First an autoencoder without quantisation; after `QUANTISE_AT` of the time the codebook is laid by k-means and
followed from then on. A share of each batch bypasses it, so that the encoder keeps a direct gradient.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vita15.codec import CodecDecoder
from vita15.config import SAMPLES_PER_CODE, SPEECH_OUT_HZ, TINY
from vita_training.speaking.codec_encoder import CodebookMeans, CodecEncoder, nearest
from vita_training.speaking.corpus import Corpus, speak_corpus, whole_codes
from vita_training.speaking.progress import Progress, resume, save_snapshot
from vita_training.speaking.spectra import mel_distance, spectral_loss

PEAK_RATE = 1.2e-3
BATCH = 12
CROP_CODES = 36  # 0.9 s; longer crops cost more than they teach
QUANTISE_AT = 0.12
BYPASS = 0.15  # of the batch, once quantised
COMMITMENT = 0.5
KMEANS_BATCHES = 30
SAVE_STEPS = 100
GAP_S = 0.1  # silence between utterances


class CodecTraining:
    """The codec being trained, and what trains it."""

    def __init__(self, corpus: Corpus, minutes: float, out: Path) -> None:
        config = TINY.codec_decoder
        self.corpus, self.snapshot = corpus, out / "codec.pt"
        self.decoder, self.encoder = CodecDecoder(config), CodecEncoder(config)
        self.means = CodebookMeans(config.codebook_size, config.code_dim)
        # The codebook is moved by running means, not by gradients.
        self.decoder.embedding.weight.requires_grad_(False)
        self.weights = [p for m in (self.encoder, self.decoder) for p in m.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.weights, PEAK_RATE, betas=(0.8, 0.99), weight_decay=0.01)
        self.progress = Progress(minutes)
        gap = np.zeros(int(GAP_S * SPEECH_OUT_HZ), np.float32)
        self.speech = torch.from_numpy(np.concatenate([x for u in corpus.train for x in (u.samples, gap)]))
        self.is_quantised = resume(self.snapshot, self.progress, self.optimiser, **self._modules()) and bool(
            self.means.sums.any()
        )

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"decoder": self.decoder, "encoder": self.encoder, "means": self.means}

    @property
    def codebook(self) -> Tensor:
        """(K, dim), without gradient."""
        return self.decoder.embedding.weight.data

    def crops(self) -> Tensor:
        """Draw a batch of sound: (BATCH, CROP_CODES × 600)."""
        length = CROP_CODES * SAMPLES_PER_CODE
        starts = torch.randint(len(self.speech) - length, (BATCH,))
        return torch.stack([self.speech[start : start + length] for start in starts.tolist()])

    def step(self) -> tuple[float, float]:
        """Train on one batch; returns (loss, mel distance)."""
        if not self.is_quantised and self.progress.share > QUANTISE_AT:
            self._lay_codebook()
        for group in self.optimiser.param_groups:
            group["lr"] = PEAK_RATE * self.progress.rate
        sound = self.crops()
        vectors, commitment = self._quantise(self.encoder(sound))
        loss, mel = spectral_loss(self.decoder.generate(vectors.transpose(1, 2)), sound)
        self.optimiser.zero_grad()
        (loss + COMMITMENT * commitment).backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.optimiser.step()
        self.progress.advance()
        return float(loss.detach()), float(mel.detach())

    def _quantise(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        if not self.is_quantised:
            return vectors, vectors.new_zeros(())
        rows = nearest(vectors.detach(), self.codebook)
        chosen = self.codebook[rows]
        self.means.follow(vectors.detach().flatten(0, 1), rows.flatten(), self.codebook)
        keep = (torch.rand(len(vectors), 1, 1) >= BYPASS).float()
        return vectors + keep * (chosen - vectors).detach(), (vectors - chosen).square().mean()

    @torch.no_grad()
    def _lay_codebook(self) -> None:
        vectors = torch.cat([self.encoder(self.crops()).flatten(0, 1) for _ in range(KMEANS_BATCHES)])
        self.means.start(vectors, self.codebook)
        self.is_quantised = True
        self.progress.pause()

    @torch.no_grad()
    def held_out_mel(self, count: int = 30) -> float:
        """Mel distance on held-out sentences, through the codes once there are any."""
        distances: list[float] = []
        for utterance in self.corpus.held_out[:count]:
            sound = whole_codes(utterance)[None]
            vectors = self.encoder(sound)
            if self.is_quantised:
                vectors = self.codebook[nearest(vectors, self.codebook)]
            distances.append(float(mel_distance(self.decoder.generate(vectors.transpose(1, 2)), sound)))
        self.progress.pause()
        return float(np.mean(distances))

    def save(self) -> None:
        """Write a snapshot to resume from."""
        save_snapshot(self.snapshot, self.progress, self.optimiser, **self._modules())
        self.progress.pause()

    def run(self) -> None:
        """Train until the time is spent."""
        bar = tqdm(total=100, desc="codec", unit="%", disable=None)
        figures: list[tuple[float, float]] = []
        while self.progress.share < 1:
            figures.append(self.step())
            bar.update(int(100 * self.progress.share) - bar.n)
            if self.progress.step % SAVE_STEPS == 0:
                loss, mel = np.mean(figures, 0)
                figures = []
                self.save()
                print(self.progress.line(loss=loss, mel=mel, held_out_mel=self.held_out_mel()), flush=True)
        self.save()
        print(self.progress.line(held_out_mel=self.held_out_mel(len(self.corpus.held_out))), flush=True)


def main() -> None:
    """Train, or go on training, the codec."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the snapshot")
    parser.add_argument("--minutes", type=float, default=18.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    CodecTraining(speak_corpus(), arguments.minutes, arguments.out).run()


if __name__ == "__main__":
    main()
