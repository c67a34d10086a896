"""Codec tokens to sound: 600 samples at 24 kHz a code, by one of two generators behind one Protocol.

`hifigan` is the published generator (TiCodec's): transposed convolutions and residual blocks, the voice added as a
constant vector half-way. `istft` is cheaper to train on a CPU: ConvNeXt blocks at two frames a code predict one
spectrum a frame, and an inverse Fourier transform with overlap-add makes the sound. Neither is causal: a code needs
neighbours on both sides, so streaming decodes windows with `CodecConfig.context_codes` of context and cuts it off.
`istft` sees at most 9 codes either way, so such windows equal offline decoding to rounding. Source: docs/model.md, 5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vita15.config import SAMPLES_PER_CODE, CodecConfig

LEAKY_SLOPE = 0.1  # HiFi-GAN's
FRAMES_PER_CODE = 2  # of the istft generator
BLOCK_KERNEL = 7  # frames; 4 such blocks see 12 frames = 6 codes either side
LAYER_SCALE = 0.3  # starting scale of a block's branch: large, since the network is shallow
MAX_LOG_MAGNITUDE = 5.0  # keeps exp() finite whatever the weights
MIN_OVERLAP = 0.1  # of summed squared windows; only reached at the ends


class Generator(Protocol):
    """Turns code vectors into sound."""

    def __call__(self, vectors: Tensor, voice: Tensor) -> Tensor:
        """Generate sound.

        Args:
            vectors: (B, code_dim, T) float32.
            voice: (V,) float32, the time-invariant voice; V = 0 where the generator has a single voice.

        Returns:
            (B, T × 600) float32 in [-1, 1] at 24 kHz.
        """
        ...


class ResidualBlock(nn.Module):
    """HiFi-GAN's residual block of type 1: one dilated and one plain convolution for each dilation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2) for d in dilations
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S) → (B, C, S)."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, LEAKY_SLOPE)), LEAKY_SLOPE))
        return x


class HifiGanGenerator(nn.Module):
    """The published generator; its upsampling rates multiply to 600."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        widths = [config.channels // 2**i for i in range(len(config.upsample_rates) + 1)]
        self.conv_pre = nn.Conv1d(config.code_dim, widths[0], 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(before, after, kernel, rate, padding=(kernel - rate) // 2)
            for before, after, kernel, rate in zip(
                widths, widths[1:], config.upsample_kernels, config.upsample_rates, strict=False
            )
        )
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, kernel, config.resblock_dilations)
            for width in widths[1:]
            for kernel in config.resblock_kernels
        )
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3)
        self.branches = len(config.resblock_kernels)

    def forward(self, vectors: Tensor, voice: Tensor) -> Tensor:
        """See `Generator`."""
        x = self.conv_pre(vectors)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, LEAKY_SLOPE))
            branches = self.resblocks[i * self.branches : (i + 1) * self.branches]
            x = torch.stack([branch(x) for branch in branches]).mean(0)
            if len(voice) == x.shape[1]:  # the voice joins where its width fits: the 128-channel stage
                x = x + voice[None, :, None]
        # PyTorch's own slope here (0.01), as in HiFi-GAN's last activation.
        return torch.tanh(self.conv_post(F.leaky_relu(x)))[:, 0]


class ConvNextBlock(nn.Module):
    """Depthwise convolution over time, then a small network for each frame, added to the input."""

    def __init__(self, channels: int, ffn: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, BLOCK_KERNEL, padding=BLOCK_KERNEL // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, ffn)
        self.narrow = nn.Linear(ffn, channels)
        self.scale = nn.Parameter(torch.full((channels,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, frames) → (B, C, frames)."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        return x + (self.narrow(F.gelu(self.widen(y))) * self.scale).transpose(1, 2)


class IstftGenerator(nn.Module):
    """Two spectra a code, and an inverse Fourier transform."""

    window: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.hop = config.hop
        self.fft = config.fft
        width = config.channels
        self.conv_in = nn.Conv1d(config.code_dim, width, 3, padding=1)
        self.up = nn.ConvTranspose1d(width, width, 2 * FRAMES_PER_CODE, stride=FRAMES_PER_CODE, padding=1)
        self.blocks = nn.Sequential(*[ConvNextBlock(width, config.ffn) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.fft + 2)  # log magnitude and phase of fft // 2 + 1 bins
        self.register_buffer("window", torch.hann_window(config.fft), persistent=False)

    def forward(self, vectors: Tensor, voice: Tensor) -> Tensor:
        """See `Generator`; there is a single voice, so `voice` is not used."""
        x = self.blocks(self.up(self.conv_in(vectors)))
        log_magnitude, phase = self.head(self.norm(x.transpose(1, 2))).float().chunk(2, dim=-1)
        magnitude = torch.exp(log_magnitude.clamp(max=MAX_LOG_MAGNITUDE))
        spectra = torch.complex(magnitude * torch.cos(phase), magnitude * torch.sin(phase))
        frames = torch.fft.irfft(spectra, self.fft, dim=-1) * self.window  # (B, F, fft)
        overlap = self._overlap_add(self.window.square().expand(1, frames.shape[1], -1))
        return self._overlap_add(frames) / overlap.clamp(min=MIN_OVERLAP)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """(B, F, fft) → (B, F × hop): frame f is centred on sample f × hop."""
        batch, count, fft = frames.shape
        parts = fft // self.hop
        total = frames.new_zeros(batch, count + parts - 1, self.hop)
        for part, piece in enumerate(frames.unflatten(-1, (parts, self.hop)).unbind(2)):
            total = total + F.pad(piece, (0, 0, part, parts - 1 - part))
        return total.flatten(1)[:, fft // 2 : fft // 2 + count * self.hop]


class CodecDecoder(nn.Module):
    """Codes of one codebook to 24 kHz sound."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.codebook_size, config.code_dim)
        self.embedding_globaltokens = nn.ModuleList(
            nn.Embedding(config.codebook_size, config.global_dim) for _ in config.global_tokens
        )
        self.generator = _build_generator(config)

    def forward(self, codes: Tensor) -> Tensor:
        """Decode codes.

        Args:
            codes: (B, T) int64.

        Returns:
            (B, T × 600) float32 in [-1, 1] at 24 kHz.

        Raises:
            ValueError: a code is outside the codebook; nothing was decoded.
        """
        if codes.device.type != "meta" and codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.size:
            raise ValueError(f"codes {int(codes.min())} to {int(codes.max())} outside a codebook of {self.size}")
        if not codes.numel():
            return self.embedding.weight.new_zeros(codes.shape[0], codes.shape[1] * SAMPLES_PER_CODE)
        return self.generate(self.embedding(codes).transpose(1, 2)).clamp(-1.0, 1.0)

    def generate(self, vectors: Tensor) -> Tensor:
        """Decode code vectors (B, code_dim, T) to (B, T × 600); not clipped, for training."""
        return cast(Tensor, self.generator(vectors, self.voice()))

    def voice(self) -> Tensor:
        """Look up the configured voice: (len(global_tokens) × global_dim,)."""
        rows = [
            cast(nn.Embedding, table).weight[token]
            for table, token in zip(self.embedding_globaltokens, self.config.global_tokens, strict=True)
        ]
        return torch.cat(rows) if rows else self.embedding.weight.new_zeros(0)

    @property
    def size(self) -> int:
        """Codes in the codebook."""
        return self.config.codebook_size


def _build_generator(config: CodecConfig) -> HifiGanGenerator | IstftGenerator:
    if config.generator == "hifigan":
        if math.prod(config.upsample_rates) != SAMPLES_PER_CODE:
            raise ValueError(f"upsample_rates {config.upsample_rates} do not multiply to {SAMPLES_PER_CODE}")
        return HifiGanGenerator(config)
    if config.hop * FRAMES_PER_CODE != SAMPLES_PER_CODE or config.fft % (2 * config.hop):
        raise ValueError(f"hop {config.hop} and fft {config.fft} do not give {SAMPLES_PER_CODE} samples a code")
    return IstftGenerator(config)


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace each weight-normalised pair `weight_g`, `weight_v` by the weight they stand for.

    Returns:
        A new state; every other entry as it was.

    Raises:
        KeyError: a `weight_g` without its `weight_v`, or the other way.
    """
    folded: dict[str, Tensor] = {}
    for name, value in state.items():
        pair = re.fullmatch(r"(.*weight)_([gv])", name)
        if pair is None:
            folded[name] = value
            continue
        stem = pair.group(1)
        direction, gain = state[f"{stem}_v"], state[f"{stem}_g"]
        norm = direction.flatten(1).norm(dim=1).reshape(-1, *[1] * (direction.dim() - 1))
        folded[stem] = gain * direction / norm
    return folded
