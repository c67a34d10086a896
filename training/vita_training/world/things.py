"""What there is in the small world, and what it is called."""

from __future__ import annotations

from vita_training.data.sample import Thing

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "black", "brown")
SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond")
NAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
MAX_THINGS = 4

# A picture's nine places, row by row: (column, row) of a 3 × 3 grid, from the top left.
CELLS: dict[str, tuple[int, int]] = {
    "at the top left": (0, 0),
    "at the top": (1, 0),
    "at the top right": (2, 0),
    "on the left": (0, 1),
    "in the middle": (1, 1),
    "on the right": (2, 1),
    "at the bottom left": (0, 2),
    "at the bottom": (1, 2),
    "at the bottom right": (2, 2),
}
PLACES = tuple(CELLS)
SIZES = ("small", "big")
# Radii, as shares of the shorter side. A tile has 112 px: below 10 px shapes are hard to tell; a cell's half is 0.167.
SMALL, BIG = (0.095, 0.11), (0.143, 0.155)
PLACE_AT = {cell: place for place, cell in CELLS.items()}


def name(thing: Thing) -> str:
    """Colour and shape: "red circle"."""
    return f"{thing.colour} {thing.shape}"


def size(thing: Thing) -> str:
    """Say whether a thing is big or small: in this world it is one or the other."""
    return SIZES[thing.radius > SMALL[1]]


def a(noun: str) -> str:
    """Put the article before a noun: "an orange star"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
