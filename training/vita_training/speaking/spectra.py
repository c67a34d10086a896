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
MEL_RESOLUTION = (1024, 256)  # of the mel distance; one of them
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
    """(B, S) → (B, fft // 2 + 1, frames) float32; frame f is centred on sample f × hop."""
    spectrum = torch.stft(
        sound.float(), fft, hop, window=_window(fft).to(sound.device), return_complex=True, pad_mode="constant"
    )
    # Not abs(): its gradient at zero is not finite. Nor a sum over the two parts: ten times slower than adding them.
    real, imaginary = torch.view_as_real(spectrum).unbind(-1)
    return (real.square() + imaginary.square() + 1e-8).sqrt()


def log_mel(sound: Tensor, fft: int, hop: int) -> Tensor:
    """(B, S) → (B, MEL_BINS, frames) float32, natural logarithm."""
    return _to_mel(magnitude(sound, fft, hop))


def mel_distance(made: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference of log-mel spectra, in nepers."""
    return (log_mel(made, *MEL_RESOLUTION) - log_mel(true, *MEL_RESOLUTION)).abs().mean()


def spectral_loss(made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Compare sounds (B, S).

    Returns:
        The loss to minimise, and the mel distance within it.
    """
    loss = mel = made.new_zeros((), dtype=torch.float32)
    for fft, hop in RESOLUTIONS:
        a, b = magnitude(made, fft, hop), magnitude(true, fft, hop)
        loss = loss + (a - b).norm() / b.norm() + (torch.log(a + FLOOR) - torch.log(b + FLOOR)).abs().mean()
        if (fft, hop) == MEL_RESOLUTION:
            mel = (_to_mel(a) - _to_mel(b)).abs().mean()
    return loss / len(RESOLUTIONS) + MEL_WEIGHT * mel, mel


def _to_mel(spectrum: Tensor) -> Tensor:
    with torch.autocast(spectrum.device.type, enabled=False):  # eight bits would be heard in the quiet bands
        filters = mel_filters(2 * (spectrum.shape[1] - 1)).to(spectrum.device)
        return torch.log(filters @ spectrum + FLOOR)
