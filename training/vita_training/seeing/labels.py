"""What each embedding of a tile should know: the thing that covers its cell, and where that thing is in the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vita15.images import tile_grid
from vita_training.world.pictures import Drawing
from vita_training.world.scenes import COLOURS, PLACES, SHAPES

NOTHING = 0  # class 0 of each label: the cell shows background
LABEL_SIZES = (len(COLOURS) + 1, len(SHAPES) + 1, len(PLACES) + 1)
_PROBES = 5  # points a side at which a cell is probed
_LEAST_COVER = 0.12  # of a cell's probes


def tile_labels(drawing: Drawing, tile_px: int, cells: int, max_tiles: int) -> NDArray[np.int64]:
    """Label every cell of every tile, in the order of `vita15.images.cut_tiles`.

    Returns:
        (tiles, cells × cells, 3): colour, shape and place of the thing in the cell, 0 for none. In single tiles of a
        larger picture the place is 0 for all: a part does not know where it is.
    """
    width, height = drawing.picture.size
    cols, rows = tile_grid(width, height, max_tiles, tile_px)
    boxes = [(c / cols, r / rows, 1 / cols, 1 / rows) for r in range(rows) for c in range(cols)]
    if len(boxes) > 1:
        boxes.append((0.0, 0.0, 1.0, 1.0))
    labels = np.stack([_box_labels(drawing, box, cells) for box in boxes])
    labels[:-1, :, 2] = NOTHING
    return labels


def _box_labels(drawing: Drawing, box: tuple[float, float, float, float], cells: int) -> NDArray[np.int64]:
    left, top, box_width, box_height = box
    width, height = drawing.picture.size
    steps = (np.arange(cells * _PROBES) + 0.5) / (cells * _PROBES)
    x, y = (left + box_width * steps) * width, (top + box_height * steps) * height
    labels = np.zeros((cells * cells, 3), dtype=np.int64)
    best = np.full(cells * cells, _LEAST_COVER)
    for spot in drawing.placed:
        inside = (x[None, :] - spot.x) ** 2 + (y[:, None] - spot.y) ** 2 < spot.radius**2
        cover = inside.reshape(cells, _PROBES, cells, _PROBES).mean(axis=(1, 3)).reshape(-1)
        is_best = cover > best
        thing = spot.thing
        labels[is_best] = (
            COLOURS.index(thing.colour) + 1,
            SHAPES.index(thing.shape) + 1,
            PLACES.index(thing.place) + 1,
        )
        best = np.maximum(best, cover)
    return labels
