"""Microphone frames that say when they were sent, so that whoever gets them knows how late they come. Pure.

A frame is 40 ms of 16 kHz sound. Its first eight bytes are the machine's monotonic clock, which all processes of one
machine share. Only the last frame of a piece is looked at: those before it wait for it by design.
"""

from __future__ import annotations

import struct
import time

FRAME_MS = 40
FRAME_BYTES = FRAME_MS * 32  # 16 kHz, 16 bit
FRAMES_PER_PIECE = 4  # 160 ms: as much as the orchestrator hands to the speech encoder at a time
_STAMP = struct.Struct("<q")


def stamped(now_ns: int | None = None) -> bytes:
    """Return a frame that is sent now."""
    return _STAMP.pack(time.monotonic_ns() if now_ns is None else now_ns) + bytes(FRAME_BYTES - _STAMP.size)


def delays_ms(pieces: bytes, now_ns: int | None = None) -> list[float]:
    """Return how late each piece's last frame came, in ms; `pieces` holds whole pieces."""
    now = time.monotonic_ns() if now_ns is None else now_ns
    size = FRAME_BYTES * FRAMES_PER_PIECE
    ends = range(size - FRAME_BYTES, len(pieces) - FRAME_BYTES + 1, size)
    return [(now - _STAMP.unpack_from(pieces, at)[0]) / 1e6 for at in ends]
