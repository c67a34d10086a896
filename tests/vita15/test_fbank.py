"""Features as Kaldi's: against a plain reference, recorded values, and Kaldi's known properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vita15.fbank import FbankStream, fbank, frame_count

pytestmark = pytest.mark.unit


def chirp() -> torch.Tensor:
    """One second: a chirp, a hum and an offset. (16000,) float32."""
    t = np.arange(16_000) / 16_000
    sweep = 0.4 * np.sin(2 * np.pi * (100 * t + 1900 * t**2)) + 0.05 * np.sin(2 * np.pi * 440 * t) + 0.1
    return torch.from_numpy(sweep.astype(np.float32))


def plain_frame(samples: np.ndarray) -> np.ndarray:
    """One frame (400,) in float64, step by step, with a Fourier transform written as its sum."""
    x = samples.astype(np.float64) * 32768
    x = x - x.mean()
    emphasised = x.copy()
    emphasised[1:] -= 0.97 * x[:-1]
    emphasised[0] -= 0.97 * x[0]
    windowed = [value * (0.5 - 0.5 * math.cos(2 * math.pi * n / 399)) ** 0.85 for n, value in enumerate(emphasised)]
    turns = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    power = np.abs(turns @ np.array(windowed)) ** 2
    mels = [1127 * math.log(1 + k * 16_000 / 512 / 700) for k in range(257)]
    low, high = 1127 * math.log(1 + 20 / 700), 1127 * math.log(1 + 8000 / 700)
    step = (high - low) / 81
    energies = np.zeros(80)
    for m in range(80):
        left, centre, right = (low + (m + i) * step for i in range(3))
        for k, mel in enumerate(mels):
            if left < mel <= centre:
                energies[m] += power[k] * (mel - left) / (centre - left)
            elif centre < mel < right:
                energies[m] += power[k] * (right - mel) / (right - centre)
    return np.log(np.maximum(energies, 1.1920929e-07))


def test_frames_equal_a_plain_reference() -> None:
    samples = torch.randn(1600, generator=torch.Generator().manual_seed(0)) * 0.1
    features = fbank(samples)
    for frame in (0, 3, len(features) - 1):
        expected = plain_frame(samples[160 * frame : 160 * frame + 400].numpy())
        np.testing.assert_allclose(features[frame].numpy(), expected, atol=2e-3)


def test_frames_equal_those_recorded_from_kaldi_native_fbank() -> None:
    # kaldi-native-fbank 1.23.0, dither 0, 80 bins: every eighth bin of two frames of the chirp. Bins far below the
    # peak are rounding noise there and here, and left out.
    features = fbank(chirp())
    assert features[0, ::8][:5].tolist() == pytest.approx([16.35, 17.21, 16.02, 6.11, 3.32], abs=0.02)
    expected = [5.42, 7.7, 16.04, 5.29, 3.95, 5.53, 8.08, 15.77, 11.48, 5.87]
    assert features[97, ::8].tolist() == pytest.approx(expected, abs=0.02)


def test_only_whole_frames_count() -> None:
    for samples in (0, 1, 399, 400, 559, 560, 16_000):
        assert len(fbank(torch.zeros(samples))) == frame_count(samples)
    assert [frame_count(n) for n in (399, 400, 559, 560, 16_000)] == [0, 1, 1, 2, 98]


def test_an_offset_changes_nothing_and_loudness_adds() -> None:
    samples = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 0.1
    torch.testing.assert_close(fbank(samples + 0.2), fbank(samples), atol=5e-3, rtol=0)
    torch.testing.assert_close(fbank(samples * 2), fbank(samples) + 2 * math.log(2), atol=1e-3, rtol=0)


def test_silence_is_the_floor() -> None:
    assert torch.all(fbank(torch.zeros(800)) == math.log(torch.finfo(torch.float32).eps))


def test_a_tone_peaks_in_its_bin() -> None:
    for hz in (300, 1000, 4000):
        tone = 0.5 * torch.sin(2 * math.pi * hz * torch.arange(4000) / 16_000)
        low, high = (1127 * math.log(1 + edge / 700) for edge in (20, 8000))
        expected = (1127 * math.log(1 + hz / 700) - low) / (high - low) * 81 - 1
        assert abs(int(fbank(tone)[5].argmax()) - expected) <= 1


def test_a_padded_batch_equals_its_clips() -> None:
    clips = [torch.randn(n) * 0.1 for n in (4000, 9999, 16_000)]
    features = fbank(torch.nn.utils.rnn.pad_sequence(clips, batch_first=True))
    for clip, row in zip(clips, features, strict=True):
        torch.testing.assert_close(row[: frame_count(len(clip))], fbank(clip), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("step", [1, 160, 399, 401, 5000])
def test_streamed_equals_whole(step: int) -> None:
    samples = torch.randn(3000 if step == 1 else 20_000) * 0.1
    stream = FbankStream()
    streamed = torch.cat([stream.push(piece) for piece in samples.split(step)])
    torch.testing.assert_close(streamed, fbank(samples), atol=1e-4, rtol=1e-4)
