"""Which frames of a video the model sees: one a second, at least 4 and at most 16 (docs/model.md, 1.5)."""

from __future__ import annotations

import math

MIN_FRAMES = 4
MAX_FRAMES = 16


def video_frame_indices(
    frame_count: int,
    frames_per_second: float,
    *,
    start_s: float = 0.0,
    end_s: float = math.inf,
    min_frames: int = MIN_FRAMES,
    max_frames: int = MAX_FRAMES,
) -> list[int]:
    """Choose frames between `start_s` and `end_s`: one a second, then spread to the limits.

    Short videos repeat frames; a reversed span is turned round, and an empty one lasts a second.

    Raises:
        ValueError: there is no frame, or no frame rate.
    """
    if frame_count < 1 or not frames_per_second > 0:
        raise ValueError(f"video of {frame_count} frames at {frames_per_second} a second")
    start_s, end_s = max(0.0, min(start_s, end_s)), max(start_s, end_s)
    if end_s == start_s:
        end_s += 1
    last = frame_count - 1
    first = min(int(start_s * frames_per_second), last)
    if math.isfinite(end_s):
        last = max(first, min(int(end_s * frames_per_second), last))
    seconds = list(range(first, last + 1, max(1, round(frames_per_second))))
    if len(seconds) > max_frames:
        return _spread(seconds, max_frames)
    if len(seconds) < min_frames:
        return _spread(seconds, min_frames)
    return seconds


def _spread(positions: list[int], count: int) -> list[int]:
    if count == 1:
        return positions[:1]
    return [positions[i * (len(positions) - 1) // (count - 1)] for i in range(count)]
