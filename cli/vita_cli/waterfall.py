"""A turn's waterfall: how long each stage let the listener wait, as a bar of characters."""

from __future__ import annotations

from dataclasses import dataclass

MS_PER_CELL = 50
MAX_CELLS = 72


@dataclass(frozen=True, slots=True)
class Stages:
    """When a turn's stages gave something, in ms from the end of the question; None: never."""

    first_text_ms: int | None
    first_audio_ms: int | None
    last_audio_ms: int | None


def waterfall(stages: Stages) -> str:
    """Return two lines: the bar, and the times under it.

    Dots are waiting for the first word, dashes for the first sound, blocks are sound coming in.
    """
    text, first, last = stages.first_text_ms, stages.first_audio_ms, stages.last_audio_ms
    if text is None:
        return "   nothing came\n"
    ends = [(text, "·"), (first if first is not None else text, "─"), (last if last is not None else text, "█")]
    ms_per_cell = max(MS_PER_CELL, -(-max(end for end, _ in ends) // MAX_CELLS))
    bar, reached = "", 0
    for end_ms, glyph in ends:
        cells = max(0, round(end_ms / ms_per_cell) - reached)
        bar += glyph * cells
        reached += cells
    times = f"first text {text} ms" + (f" · first sound {first} ms · last sound {last} ms" if first is not None else "")
    return f"   end of speech |{bar}| \n   {times}\n"
