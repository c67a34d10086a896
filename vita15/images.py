"""Pictures to normalised tiles: safe decoding, dynamic patching, thumbnail last (docs/model.md, 1.3 and 1.4)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vita15.errors import BadPicture

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # what cameras, browsers and screenshots make; the first frame counts
MEAN = (0.485, 0.456, 0.406)  # ImageNet's, red green blue, of values in 0..1 (docs/model.md, 1.3)
DEVIATION = (0.229, 0.224, 0.225)
FULL_TILE_PX = 448

Fit = Literal["squash", "crop"]


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture may be, checked before it is decoded."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 40_000_000  # a 24 Mpx camera and some; 120 MB decoded
    max_side_px: int = 20_000


def load_picture(data: bytes, limits: PictureLimits = PictureLimits()) -> Image.Image:
    """Decode a picture: upright, RGB, transparent parts on white.

    Raises:
        BadPicture: no picture of a known format, damaged, or beyond a limit. Nothing large was allocated.
    """
    if len(data) > limits.max_bytes:
        raise BadPicture(f"picture of {len(data)} bytes; the limit is {limits.max_bytes}")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(picture.width, picture.height, limits)
        picture.load()
        return _on_white(ImageOps.exif_transpose(picture))
    except BadPicture:
        raise
    except Exception as error:  # decoders of hostile bytes raise whatever they like; the user's bytes stay out of it
        raise BadPicture(f"picture cannot be decoded ({type(error).__name__})") from error


def tile_grid(width_px: int, height_px: int, max_tiles: int, tile_px: int = FULL_TILE_PX) -> tuple[int, int]:
    """Choose (columns, rows) of tiles whose shape is nearest to the picture's.

    Among grids of the same shape the larger one wins if the picture covers more than half of it. Where two grids of one
    area are equally near, the original's choice depends on hashing; ours is the one with fewer columns.
    """
    if min(width_px, height_px, max_tiles) < 1:
        raise ValueError(f"picture of {width_px} × {height_px} px into {max_tiles} tiles")
    ratio = width_px / height_px
    best, best_distance = (1, 1), float("inf")
    for cols, rows in _grids(max_tiles):
        distance = abs(ratio - cols / rows)
        is_large = width_px * height_px > 0.5 * tile_px**2 * cols * rows
        if distance < best_distance or (distance == best_distance and is_large):
            best, best_distance = (cols, rows), distance
    return best


def tile_count(width_px: int, height_px: int, max_tiles: int, tile_px: int = FULL_TILE_PX) -> int:
    """Count the tiles of a picture, its thumbnail included."""
    cols, rows = tile_grid(width_px, height_px, max_tiles, tile_px)
    return cols * rows + (cols * rows > 1)


def cut_tiles(picture: Image.Image, tile_px: int, max_tiles: int) -> Tensor:
    """Cut a picture into tiles, row by row, the whole picture last if there is more than one.

    Returns:
        (n, 3, tile_px, tile_px) float32, normalised.
    """
    cols, rows = tile_grid(picture.width, picture.height, max_tiles, tile_px)
    whole = normalised(_resized(picture, cols * tile_px, rows * tile_px))
    tiles = whole.unflatten(2, (cols, tile_px)).unflatten(1, (rows, tile_px))  # (3, rows, px, cols, px)
    tiles = tiles.permute(1, 3, 0, 2, 4).flatten(0, 1)
    if cols * rows == 1:
        return tiles.contiguous()
    return torch.cat([tiles, normalised(_resized(picture, tile_px, tile_px))[None]])


def fit_frame(frame: Image.Image, tile_px: int, fit: Fit = "squash") -> Tensor:
    """Make one tile of a video frame: `squash` changes its shape, `crop` loses its sides (docs/model.md, 1.5).

    Returns:
        (3, tile_px, tile_px) float32, normalised.
    """
    if fit == "crop":
        return normalised(ImageOps.fit(frame, (tile_px, tile_px), Image.Resampling.BICUBIC))
    return normalised(_resized(frame, tile_px, tile_px))


def normalised(picture: Image.Image) -> Tensor:
    """Turn an RGB picture into (3, height, width) float32, ImageNet-normalised."""
    values = torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1) / 255
    return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


def _grids(max_tiles: int) -> list[tuple[int, int]]:
    side = range(1, max_tiles + 1)
    grids = [(cols, rows) for cols in side for rows in side if cols * rows <= max_tiles]
    return sorted(grids, key=lambda grid: (grid[0] * grid[1], grid[0]))


def _check_size(width_px: int, height_px: int, limits: PictureLimits) -> None:
    if width_px * height_px > limits.max_pixels or max(width_px, height_px) > limits.max_side_px:
        raise BadPicture(
            f"picture of {width_px} × {height_px} px; "
            f"the limits are {limits.max_pixels} pixels and {limits.max_side_px} px a side"
        )


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut at 255
        picture = picture.point(lambda value: value * (1 / 256)).convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def _resized(picture: Image.Image, width_px: int, height_px: int) -> Image.Image:
    return picture.resize((width_px, height_px), Image.Resampling.BICUBIC)
