"""What each embedding of a tile should know: one embedding a thing, always the same one for a place.

With a thing spread over all the cells that it touches, the language model took 1,200 steps to get half of its answers
right (training/LOG.md). So the vision encoder gathers each thing in one cell. Parts of a larger picture say nothing:
its thumbnail, the last tile, shows the same things whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vita15.images import tile_count
from vita_training.world.pictures import Drawing
from vita_training.world.scenes import COLOURS, PLACES, SHAPES

NOTHING = 0  # class 0 of each label
LABEL_SIZES = (len(COLOURS) + 1, len(SHAPES) + 1, len(PLACES) + 1)
CELLS = 4  # a side
# Row and column, in the order of PLACES. A thing touches its cell wherever chance puts it.
GATHERING_CELLS = ((1, 0), (1, 3), (0, 1), (3, 1), (1, 1))


def tile_labels(drawing: Drawing, tile_px: int, max_tiles: int) -> NDArray[np.int64]:
    """Label every cell of every tile, in the order of `vita15.images.cut_tiles`.

    Returns:
        (tiles, CELLS × CELLS, 3): colour, shape and place of the thing gathered in the cell, 0 for none.
    """
    width, height = drawing.picture.size
    labels = np.zeros((tile_count(width, height, max_tiles, tile_px), CELLS * CELLS, 3), dtype=np.int64)
    for spot in drawing.placed:
        place = PLACES.index(spot.thing.place)
        row, column = GATHERING_CELLS[place]
        classes = (COLOURS.index(spot.thing.colour) + 1, SHAPES.index(spot.thing.shape) + 1, place + 1)
        labels[-1, row * CELLS + column] = classes
    return labels
