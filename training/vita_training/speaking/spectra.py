"""How two sounds are compared: magnitude spectra at several resolutions, and log-mel spectra."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from vita15.config import SPEECH_OUT_HZ

MEL_BINS = 80
FLOOR = 1e-3  # added before the logarithm: about -60 dB of full scale, quieter detail is inaudible here
# (FFT, hop) in samples. The short one sees single pitch periods, the long one the harmonics between them.
RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (240, 60))
MEL_WEIGHT = 4.0  # relative to one resolution's spectral loss; found in the prototype


@functools.cache
def mel_filters(fft: int) -> Tensor:
    """Triangular HTK mel filters, (MEL_BINS, fft // 2 + 1)."""
    top = 2595 * torch.log10(torch.tensor(1 + SPEECH_OUT_HZ / 2 / 700, dtype=torch.float64))
    edges = 700 * (10 ** (torch.linspace(0, float(top), MEL_BINS + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, SPEECH_OUT_HZ / 2, fft // 2 + 1, dtype=torch.float64)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    return torch.minimum(rise, fall).clamp(min=0).float()


@functools.cache
def _window(fft: int) -> Tensor:
    return torch.hann_window(fft)


def magnitude(sound: Tensor, fft: int, hop: int) -> Tensor:
    """(B, S) → (B, fft // 2 + 1, frames); frame f is centred on sample f × hop."""
    spectrum = torch.stft(sound, fft, hop, window=_window(fft), return_complex=True, pad_mode="constant")
    # Not abs(): its gradient at zero is not finite.
    return (torch.view_as_real(spectrum).square().sum(-1) + 1e-8).sqrt()


def log_mel(sound: Tensor, fft: int, hop: int) -> Tensor:
    """(B, S) → (B, MEL_BINS, frames), natural logarithm."""
    return torch.log(mel_filters(fft) @ magnitude(sound, fft, hop) + FLOOR)


def mel_distance(made: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference of log-mel spectra, in nepers."""
    return (log_mel(made, 1024, 256) - log_mel(true, 1024, 256)).abs().mean()


def spectral_loss(made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Compare sounds (B, S).

    Returns:
        The loss to minimise, and the mel distance within it.
    """
    loss = made.new_zeros(())
    for fft, hop in RESOLUTIONS:
        a, b = magnitude(made, fft, hop), magnitude(true, fft, hop)
        loss = loss + (a - b).norm() / b.norm() + (torch.log(a + FLOOR) - torch.log(b + FLOOR)).abs().mean()
    mel = mel_distance(made, true)
    return loss / len(RESOLUTIONS) + MEL_WEIGHT * mel, mel
