"""The half of the codec that only training needs: sound to codes.

A mel front end and ConvNeXt blocks at 80 frames a second, halved to 40 vectors a second, each replaced by the nearest
row of the codebook. The codebook follows running means of the vectors given to each row (EMA vector quantisation);
rows that nothing is given to are moved onto vectors of the current batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vita15.codec import ConvNextBlock
from vita15.config import CodecConfig
from vita_training.speaking.spectra import MEL_BINS, log_mel

MEL_SCALE = 0.25  # brings log-mel values near ±1
LAYERS = 3
DECAY = 0.98  # of the running means, a step
DEAD_COUNT = 0.03  # rows given less than this many vectors a step, on average, are moved
KMEANS_ROUNDS = 12


class CodecEncoder(nn.Module):
    """Sound to code vectors."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.hop, self.fft = config.hop, config.fft
        width = config.channels
        self.conv_in = nn.Conv1d(MEL_BINS, width, 3, padding=1)
        self.blocks = nn.Sequential(*[ConvNextBlock(width, config.ffn) for _ in range(LAYERS)])
        self.down = nn.Conv1d(width, width, 4, stride=2, padding=1)
        self.out = nn.Conv1d(width, config.code_dim, 1)

    def forward(self, sound: Tensor) -> Tensor:
        """(B, T × 600) at 24 kHz → (B, T, code_dim)."""
        mel = log_mel(sound, self.fft, self.hop)[:, :, : sound.shape[1] // self.hop]
        return self.out(self.down(self.blocks(self.conv_in(mel * MEL_SCALE)))).transpose(1, 2)


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The nearest codebook row of each vector: (..., dim), (K, dim) → (...) int64."""
    return (codebook.square().sum(1) - 2 * vectors @ codebook.t()).argmin(-1)


class CodebookMeans(nn.Module):
    """Running counts and sums from which the codebook is made."""

    counts: Tensor
    sums: Tensor

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(codebook_size))
        self.register_buffer("sums", torch.zeros(codebook_size, dim))

    @torch.no_grad()
    def start(self, vectors: Tensor, codebook: Tensor) -> None:
        """Fill the codebook by k-means over (N, dim) vectors."""
        size = len(codebook)
        centres = vectors[torch.randperm(len(vectors))[:size]].clone()
        for _ in range(KMEANS_ROUNDS):
            rows = nearest(vectors, centres)
            counts = torch.bincount(rows, minlength=size).float()
            centres = torch.zeros_like(centres).index_add_(0, rows, vectors) / counts.clamp(min=1)[:, None]
            empty = counts < 1
            centres[empty] = vectors[torch.randperm(len(vectors))[: int(empty.sum())]]
        codebook.copy_(centres)
        self.counts.fill_(0.5)
        self.sums.copy_(centres * 0.5)

    @torch.no_grad()
    def follow(self, vectors: Tensor, rows: Tensor, codebook: Tensor) -> None:
        """Move the codebook after a step in which `vectors` (N, dim) were given to `rows` (N,)."""
        counts = torch.bincount(rows, minlength=len(codebook)).float()
        self.counts.lerp_(counts, 1 - DECAY)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, rows, vectors), 1 - DECAY)
        codebook.copy_(self.sums / self.counts.clamp(min=1e-4)[:, None])
        dead = (self.counts < DEAD_COUNT).nonzero()[:, 0]
        if len(dead):
            fresh = vectors[torch.randint(len(vectors), (len(dead),))]
            codebook[dead] = fresh
            self.sums[dead] = fresh
            self.counts[dead] = 1.0
