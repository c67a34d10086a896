"""Base64 and data URLs, taken strictly: what is not exactly base64 is refused, not repaired."""

from __future__ import annotations

import binascii

from vita_runtime.errors import BadInput

DATA_URL_HEAD_CHARACTERS = 100  # "data:image/jpeg;base64," and some room for parameters


def decode_base64(field: str, text: str, max_bytes: int) -> bytes:
    """Decode base64 of the standard alphabet.

    Raises:
        BadInput: it is not base64, or holds more than `max_bytes`; large texts are refused undecoded.
    """
    if len(text) // 4 * 3 > max_bytes + 2:  # 2: of padding
        raise BadInput(field, "holds too many bytes", value=len(text) // 4 * 3, limit=max_bytes)
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error is one; so is what a non-ASCII text raises
        raise BadInput(field, "is not valid base64") from error
    if len(content) > max_bytes:
        raise BadInput(field, "holds too many bytes", value=len(content), limit=max_bytes)
    return content


def decode_data_url(field: str, url: str, max_bytes: int) -> bytes:
    """Return the bytes of a `data:image/…;base64,…` URL; nothing is ever fetched.

    Raises:
        BadInput: another kind of URL, not base64, or too long.
    """
    head, comma, payload = url[:DATA_URL_HEAD_CHARACTERS].partition(",")
    if not head.startswith("data:"):
        raise BadInput(field, "must be a data: URL; this server fetches nothing", value=head[:20])
    if not comma or not head.endswith(";base64"):
        raise BadInput(field, "must be a base64 data: URL, data:image/…;base64,…", value=head[:40])
    if not head.startswith("data:image/"):
        raise BadInput(field, "must hold an image, data:image/…", value=head[:40])
    del payload
    return decode_base64(field, url[len(head) + 1 :], max_bytes)
