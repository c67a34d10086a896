"""Shows the small world to people: pictures and videos on one sheet, conversations as text.

`python -m vita_training.world.show --sheet sheet.png` prints some conversations and writes the sheet; with `--held-out`
as evaluation has them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from vita_training.data.sample import Sample, Source
from vita_training.world.sources import captions, questions, text_only

CELL_PX, GAP_PX = 112, 6
COLUMNS, PICTURES, VIDEOS = 8, 40, 4


def contact_sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Put pictures in rows, each shrunk to a cell."""
    pitch = CELL_PX + GAP_PX
    sheet = Image.new("RGB", (COLUMNS * pitch, len(rows) * pitch), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row[:COLUMNS]):
            cell = picture.copy()
            cell.thumbnail((CELL_PX, CELL_PX))
            sheet.paste(cell, (x * pitch, y * pitch))
    return sheet


def media(source: Source) -> list[list[Image.Image]]:
    """Rows of pictures from a source, then one row a video."""
    pictures: list[Image.Image] = []
    videos: list[list[Image.Image]] = []
    index = 0
    while len(pictures) < PICTURES or len(videos) < VIDEOS:
        sample, index = source[index], index + 1
        pictures += [p.pixels for p in sample.pictures if isinstance(p.pixels, Image.Image)]
        videos += [list(v.frames) for v in sample.videos if isinstance(v.frames, tuple)]
    rows = [pictures[first : first + COLUMNS] for first in range(0, PICTURES, COLUMNS)]
    return [*rows, *videos[:VIDEOS]]


def transcript(sample: Sample) -> str:
    """Write a sample as people read it."""
    lines = [f"--- {sample.id} ({sample.kind})"]
    for utterance in sample.conversations:
        value = "(with tools)" if utterance.speaker == "system" else utterance.value.replace("\n", " ")
        lines.append(f"{utterance.speaker:>6}: {value}{' –' if utterance.is_broken_off else ''}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path, help="where to write the sheet, a PNG")
    parser.add_argument("--count", type=int, default=8, help="conversations of each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true")
    options = parser.parse_args()
    for make in (captions, questions, text_only):
        source = make(options.seed, is_held_out=options.held_out)
        for index in range(options.count):
            print(transcript(source[index]))
    if options.sheet:
        contact_sheet(media(captions(options.seed, is_held_out=options.held_out))).save(options.sheet)


if __name__ == "__main__":
    main()
