"""The codec whole, as only training needs it: sound to codes to sound.

A mel front end and ConvNeXt blocks at 80 frames a second, halved to 40 vectors a second, each replaced by the nearest
row of the codebook. The codebook follows running means of the vectors given to each row (EMA vector quantisation);
rows that nothing is given to are moved onto vectors of the current batch. What is served is `decoder`, the codebook in
it; `encoder` and `means` stay behind.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from vita15.codec import CodecDecoder, ConvNextBlock
from vita15.config import SAMPLES_PER_CODE, CodecConfig
from vita_training.recipe.snapshot import load_part
from vita_training.speaking.spectra import MEL_BINS, log_mel

HOP, FFT = SAMPLES_PER_CODE // 2, 1200  # samples, of the mel front end
MEL_SCALE = 0.25  # brings log-mel values near ±1
LAYERS = 3
FFN_FACTOR = 3  # the blocks' inner width by their outer
DECAY = 0.98  # of the running means, a step
DEAD_COUNT = 0.03  # rows given less than this many vectors a step, on average, are moved
KMEANS_ROUNDS = 12


class CodecEncoder(nn.Module):
    """Sound to code vectors."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.channels
        self.conv_in = nn.Conv1d(MEL_BINS, width, 3, padding=1)
        self.blocks = nn.Sequential(*[ConvNextBlock(width, FFN_FACTOR * width) for _ in range(LAYERS)])
        self.down = nn.Conv1d(width, width, 4, stride=2, padding=1)
        self.out = nn.Conv1d(width, config.code_dim, 1)

    def forward(self, sound: Tensor) -> Tensor:
        """(B, T × 600) at 24 kHz → (B, T, code_dim) float32."""
        mel = log_mel(sound, FFT, HOP)[:, :, : sound.shape[1] // HOP]
        return self.out(self.down(self.blocks(self.conv_in(mel * MEL_SCALE)))).transpose(1, 2).float()


class CodebookMeans(nn.Module):
    """Running counts and sums from which the codebook is made."""

    counts: Tensor
    sums: Tensor
    batches: Tensor  # learnt from so far; the codebook is laid at one of them

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(codebook_size))
        self.register_buffer("sums", torch.zeros(codebook_size, dim))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

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
        codebook.copy_(_from_first(centres))
        self.counts.fill_(0.5)
        self.sums.copy_(codebook * 0.5)

    @torch.no_grad()
    def follow(self, vectors: Tensor, rows: Tensor, codebook: Tensor) -> None:
        """Move the codebook after a step in which `vectors` (N, dim) were given to `rows` (N,), on all processes."""
        counts = torch.bincount(rows, minlength=len(codebook)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, rows, vectors)
        self.counts.lerp_(_summed(counts), 1 - DECAY)
        self.sums.lerp_(_summed(sums), 1 - DECAY)
        codebook.copy_(self.sums / self.counts.clamp(min=1e-4)[:, None])
        dead = (self.counts < DEAD_COUNT).nonzero()[:, 0]
        if len(dead):
            fresh = _from_first(vectors[torch.randint(len(vectors), (len(dead),))])
            codebook[dead] = fresh
            self.sums[dead] = fresh
            self.counts[dead] = 1.0


class Codec(nn.Module):
    """Encoder, codebook and decoder."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.encoder, self.decoder = CodecEncoder(config), CodecDecoder(config)
        self.means = CodebookMeans(config.codebook_size, config.code_dim)
        self.decoder.embedding.weight.requires_grad_(False)  # moved by running means, not by gradients

    @property
    def codebook(self) -> Tensor:
        """(K, code_dim), without gradient."""
        return self.decoder.embedding.weight.data

    @torch.no_grad()
    def codes(self, sound: Tensor) -> Tensor:
        """(B, T × 600) at 24 kHz → (B, T) int64."""
        return nearest(self.encoder(sound), self.codebook)


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The nearest codebook row of each vector: (..., dim), (K, dim) → (...) int64."""
    with torch.autocast(vectors.device.type, enabled=False):
        return (codebook.square().sum(1) - 2 * vectors @ codebook.t()).argmin(-1)


def load_codec(snapshot: Path, config: CodecConfig) -> Codec:
    """Load what stage 3.1 left, frozen.

    Raises:
        ValueError: the run is not finished, or of another configuration.
    """
    codec = Codec(config)
    for name, part in codec.named_children():
        load_part(snapshot, name, part)
    return codec.requires_grad_(False).eval()


def _summed(tensor: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(tensor)
    return tensor


def _from_first(tensor: Tensor) -> Tensor:
    """What the first process holds, on all: rows must be the same everywhere."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(tensor, 0)
    return tensor
