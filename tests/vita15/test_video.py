"""A video is seen once a second, four times at least and sixteen at most (docs/model.md, 1.5)."""

from __future__ import annotations

import pytest

from vita15.video import video_frame_indices

pytestmark = pytest.mark.unit


def test_a_middling_video_gives_a_frame_a_second() -> None:
    assert video_frame_indices(250, 25) == [0, 25, 50, 75, 100, 125, 150, 175, 200, 225]


def test_a_short_video_repeats_frames() -> None:
    assert video_frame_indices(75, 25) == [0, 0, 25, 50]
    assert video_frame_indices(1, 25) == [0, 0, 0, 0]


def test_a_long_video_is_spread_over_sixteen() -> None:
    indices = video_frame_indices(2500, 25)
    assert len(indices) == 16
    assert (indices[0], indices[-1]) == (0, 2475)
    assert indices == sorted(indices)


def test_the_frame_rate_is_rounded() -> None:
    assert video_frame_indices(300, 29.97)[:3] == [0, 30, 60]


def test_a_span_is_kept_turned_round_or_widened() -> None:
    span = video_frame_indices(2500, 25, start_s=10, end_s=16)
    assert span == [250, 275, 300, 325, 350, 375, 400]
    assert video_frame_indices(2500, 25, start_s=16, end_s=10) == span
    assert video_frame_indices(2500, 25, start_s=10, end_s=10) == [250, 250, 250, 275]


def test_every_index_is_a_frame() -> None:
    for frame_count in range(1, 120, 7):
        for rate in (0.3, 1, 12.5, 60):
            indices = video_frame_indices(frame_count, rate, start_s=1, end_s=500)
            assert 4 <= len(indices) <= 16
            assert all(0 <= index < frame_count for index in indices)


@pytest.mark.parametrize(("frame_count", "rate"), [(0, 25), (10, 0), (10, float("nan"))])
def test_no_frames_are_an_error(frame_count: int, rate: float) -> None:
    with pytest.raises(ValueError, match="video"):
        video_frame_indices(frame_count, rate)
