"""Pictures become tiles as in docs/model.md, 1.3 and 1.4, and hostile bytes become an error."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib

import pytest
import torch
from PIL import Image

from vita15.errors import BadPicture
from vita15.images import PictureLimits, cut_tiles, fit_frame, load_picture, normalised, tile_count, tile_grid

pytestmark = pytest.mark.unit


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize(
    ("width_px", "height_px", "grid", "count"),
    [
        (448, 448, (1, 1), 1),
        (896, 448, (2, 1), 3),
        (1920, 1080, (4, 2), 9),
        (500, 2000, (1, 4), 5),
        (640, 480, (4, 3), 13),
        (1000, 1000, (3, 3), 10),
        (1280, 768, (3, 2), 7),
    ],
)
def test_the_grid_nearest_in_shape_is_chosen(width_px: int, height_px: int, grid: tuple[int, int], count: int) -> None:
    assert tile_grid(width_px, height_px, 12) == grid
    assert tile_count(width_px, height_px, 12) == count


def test_of_grids_of_one_shape_a_small_picture_takes_the_small_one() -> None:
    assert tile_grid(300, 300, 12) == (1, 1)
    assert tile_grid(700, 700, 12) == (2, 2)


def test_one_tile_at_most_is_the_whole_picture() -> None:
    assert cut_tiles(Image.new("RGB", (640, 200)), 112, 1).shape == (1, 3, 112, 112)


def test_no_grid_exceeds_the_limit_however_long_the_picture() -> None:
    for width_px, height_px in ((1, 5000), (5000, 1), (3, 7)):
        for most in range(1, 13):
            cols, rows = tile_grid(width_px, height_px, most)
            assert 1 <= cols * rows <= most


def test_tiles_go_row_by_row_and_the_whole_comes_last() -> None:
    quarters = Image.new("RGB", (448, 448))
    colours = ["red", "lime", "blue", "white"]
    for index, colour in enumerate(colours):
        quarters.paste(Image.new("RGB", (224, 224), colour), (224 * (index % 2), 224 * (index // 2)))
    tiles = cut_tiles(quarters, 112, 4)
    assert tiles.shape == (5, 3, 112, 112)
    for tile, colour in zip(tiles, colours, strict=False):
        expected = normalised(Image.new("RGB", (1, 1), colour))
        torch.testing.assert_close(tile[:, 40:70, 40:70], expected.expand(3, 30, 30))
    torch.testing.assert_close(tiles[4][:, :1, :1], normalised(Image.new("RGB", (1, 1), "red")))


def test_values_are_normalised_as_imagenet() -> None:
    white = normalised(Image.new("RGB", (1, 1), "white")).flatten()
    assert white.tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])


def test_a_frame_is_squashed_or_loses_its_sides() -> None:
    frame = Image.new("RGB", (300, 100), "black")
    frame.paste("white", (0, 0, 100, 100))
    squashed, cropped = fit_frame(frame, 56), fit_frame(frame, 56, "crop")
    assert squashed.shape == cropped.shape == (3, 56, 56)
    assert squashed.max() > 1
    assert cropped.max() < 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_common_formats_are_read(kind: str) -> None:
    picture = load_picture(encoded(Image.new("RGB", (20, 10), "red"), kind))
    assert (picture.mode, picture.size) == ("RGB", (20, 10))
    assert picture.getpixel((5, 5))[0] > 240


def test_transparent_parts_are_white() -> None:
    assert load_picture(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    grey = Image.new("I;16", (4, 4), 32_768)
    assert load_picture(encoded(grey)).getpixel((0, 0)) == (128, 128, 128)


def test_a_turned_photograph_is_put_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    assert load_picture(encoded(Image.new("RGB", (20, 10)), "JPEG", exif=exif)).size == (10, 20)


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(BadPicture):
        load_picture(data)


def test_a_truncated_picture_is_refused() -> None:
    data = encoded(Image.effect_noise((200, 200), 50), "PNG")
    with pytest.raises(BadPicture):
        load_picture(data[: len(data) // 2])


def test_damaged_bytes_give_a_picture_or_an_error_and_nothing_else() -> None:
    generator = random.Random(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        data = encoded(Image.effect_noise((24, 16), 60).convert("RGB"), kind)
        for _ in range(60):
            damaged = bytearray(data)
            for _ in range(generator.randint(1, 6)):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            with contextlib.suppress(BadPicture):
                load_picture(bytes(damaged), PictureLimits(max_pixels=100_000))


def test_limits_hold() -> None:
    data = encoded(Image.new("RGB", (100, 50)))
    with pytest.raises(BadPicture, match="bytes"):
        load_picture(data, PictureLimits(max_bytes=10))
    with pytest.raises(BadPicture, match="pixels"):
        load_picture(data, PictureLimits(max_pixels=4999))
    with pytest.raises(BadPicture, match="a side"):
        load_picture(data, PictureLimits(max_side_px=99))


@pytest.mark.parametrize("side_px", [9_500, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_unpacks(side_px: int) -> None:
    with pytest.raises(BadPicture):
        load_picture(_bomb(side_px))


def _bomb(side_px: int) -> bytes:
    """A PNG of a few hundred bytes that claims side² pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
