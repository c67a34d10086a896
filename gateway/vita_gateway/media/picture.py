"""Pictures, checked before they go further: the header first, so that a bomb costs nothing, then the whole picture.

Nothing is re-encoded: the compressed picture that came in is what the model gets.
"""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError
from vita.media.v1 import media_pb2
from vita_runtime.errors import BadMedia

ENCODINGS = {
    "JPEG": media_pb2.IMAGE_ENCODING_JPEG,
    "MPO": media_pb2.IMAGE_ENCODING_JPEG,  # what many telephones write: a JPEG with a second picture behind it
    "PNG": media_pb2.IMAGE_ENCODING_PNG,
}
LARGEST_SIDE_PX = 16_384  # no camera's; keeps a picture of 1 × 25,000,000 px out


def check_picture(field: str, content: bytes, max_pixels: int) -> media_pb2.ImageEncoding:
    """Decode a picture whole, once, to know that it can be; call it off the event loop.

    Raises:
        BadMedia: neither JPEG nor PNG, too large by its header (nothing was decoded), or damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            width_px, height_px = picture.size
            if width_px * height_px > max_pixels or max(width_px, height_px) > LARGEST_SIDE_PX:
                raise _too_large(field, f"{width_px} × {height_px}", max_pixels)
            encoding = ENCODINGS[picture.format or ""]
            picture.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(field, "more than Pillow's own limit", max_pixels) from error
    except UnidentifiedImageError as error:
        raise BadMedia(field, "is neither a JPEG nor a PNG") from error
    # Pillow's plugins raise these for damaged files; SyntaxError is what its PNG plugin raises for a broken chunk.
    except (OSError, SyntaxError, ValueError, KeyError, EOFError) as error:
        raise BadMedia(field, "is damaged or incomplete and cannot be decoded") from error
    return encoding


def _too_large(field: str, size: str, max_pixels: int) -> BadMedia:
    limit = f"{max_pixels} pixels, {LARGEST_SIDE_PX} px a side"
    return BadMedia(field, "picture is too large", value=size, limit=limit)
