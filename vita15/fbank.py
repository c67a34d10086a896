"""Log mel filterbanks as Kaldi computes them, without dither: 25 ms frames each 10 ms, 80 bins (docs/model.md, 2.1).

Kaldi's ways that matter: samples in the range of int16, the mean of each frame removed, pre-emphasis within the frame,
the Povey window, a 512-point power spectrum without its last bin, triangles in mel, and no frame that is not whole.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from vita15.config import SPEECH_IN_HZ

FRAME_SAMPLES = 400  # 25 ms
SHIFT_SAMPLES = 160  # 10 ms
FFT_POINTS = 512  # the next power of two
MEL_BINS = 80
LOW_HZ = 20.0
PRE_EMPHASIS = 0.97
INT16_SCALE = 32768.0
FLOOR = torch.finfo(torch.float32).eps  # of an energy, before the logarithm


def frame_count(sample_count: int) -> int:
    """Count the whole frames in so many samples."""
    return 0 if sample_count < FRAME_SAMPLES else 1 + (sample_count - FRAME_SAMPLES) // SHIFT_SAMPLES


def fbank(samples: Tensor) -> Tensor:
    """Compute features: (…, S) float32 in [-1, 1] at 16 kHz → (…, frames, 80) float32.

    A padded batch gives each clip its own features in its first `frame_count(its samples)` frames.
    """
    if samples.shape[-1] < FRAME_SAMPLES:
        return samples.new_zeros((*samples.shape[:-1], 0, MEL_BINS))
    frames = samples.unfold(-1, FRAME_SAMPLES, SHIFT_SAMPLES) * INT16_SCALE
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], -1)  # the first sample is its own predecessor
    frames = (frames - PRE_EMPHASIS * before) * _window(samples.device)
    spectrum = torch.fft.rfft(frames, FFT_POINTS)[..., :-1]
    power = spectrum.real.square() + spectrum.imag.square()
    return (power @ _mel_triangles(samples.device)).clamp_min(FLOOR).log()


class FbankStream:
    """Features of sound as it comes: the same frames as `fbank` of the whole."""

    def __init__(self) -> None:
        self._pending = torch.zeros(0)  # (S,) samples of frames that are not whole

    def push(self, samples: Tensor) -> Tensor:
        """Hear (S,) samples; return the frames that they complete, (n, 80)."""
        pending = torch.cat([self._pending.to(samples.device), samples])
        self._pending = pending[frame_count(len(pending)) * SHIFT_SAMPLES :].clone()
        return fbank(pending)


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # the table is kept, and training may use it later
def _window(device: torch.device) -> Tensor:
    """Povey's window: a Hann window, raised so that it does not reach zero so fast. (400,) float32."""
    phase = 2 * math.pi * torch.arange(FRAME_SAMPLES, dtype=torch.float64) / (FRAME_SAMPLES - 1)
    return (0.5 - 0.5 * phase.cos()).pow(0.85).float().to(device)


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # the table is kept, and training may use it later
def _mel_triangles(device: torch.device) -> Tensor:
    """Weights of each frequency in each bin, (256, 80) float32: triangles on the mel axis, half overlapping."""
    edges = torch.linspace(_mel(LOW_HZ), _mel(SPEECH_IN_HZ / 2), MEL_BINS + 2, dtype=torch.float64)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    hz = torch.arange(FFT_POINTS // 2, dtype=torch.float64) * SPEECH_IN_HZ / FFT_POINTS
    mel = (1127.0 * (1.0 + hz / 700.0).log())[:, None]
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0).float().to(device)


def _mel(hz: float) -> float:
    return 1127.0 * math.log(1.0 + hz / 700.0)
