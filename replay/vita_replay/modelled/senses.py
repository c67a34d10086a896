"""Modelled encoders: embeddings that are a function of the picture, or of the sound, and of nothing else."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from vita_components.tensors import Tensor, integer_tensor

from vita_replay.behaviour import Asked, Call, Refused, Send
from vita_replay.kserve import reply_to
from vita_replay.modelled.costs import Cost
from vita_replay.pace import Meter, Pace

MAX_TILES = 12  # the model's own limit, thumbnail not counted
SAMPLES_PER_ROW = 1280  # 80 ms at 16 kHz: 12.5 embeddings a second
ROWS_PER_PIECE = 2  # 160 ms of sound
BYTES_PER_SAMPLE = 2
BYTES_PER_MS = 32
# How the pictures that are known begin: JPEG, PNG, GIF, BMP, WebP.
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
# With this bit of each byte cleared, two bytes are a finite 16-bit float below 2.
_FINITE = bytes(byte & 0xBF for byte in range(256))


@dataclass(frozen=True, slots=True)
class SensesSettings:
    """What the encoders put out."""

    width: int = 384  # of an embedding; the tiny checkpoint's
    tokens_per_tile: int = 256
    tile_count: int = MAX_TILES  # most tiles of a picture; one that is cut into several gets a thumbnail, too
    finished: float | None = None  # probability that a sentence is finished; None: no head that says so


def rows_of(content: bytes, count: int, width: int) -> bytes:
    """Rows of 16-bit floats that depend on all of `content`; several are alike."""
    digest = hashlib.blake2b(content, digest_size=16).digest().translate(_FINITE)
    return (digest * (width * 2 // len(digest) + 1))[: width * 2] * count


class VisionEncoder:
    """Answers pictures."""

    def __init__(self, pace: Pace, cost: Cost | None = None, settings: SensesSettings | None = None) -> None:
        self.cost, self.settings = cost or Cost(), settings or SensesSettings()
        self.meter = Meter(pace)
        self.work = self.active = 0

    def call(self, send: Send) -> Call:
        return _Picture(self, send)


class _Picture(Call):
    def __init__(self, encoder: VisionEncoder, send: Send) -> None:
        self._encoder, self._send = encoder, send

    async def take(self, asked: Asked) -> None:
        encoder, settings = self._encoder, self._encoder.settings
        picture = asked.tensor("PICTURE").raw
        if not picture.startswith(PICTURES):
            raise Refused("BAD_MEDIA", "picture: is of no known kind")
        most = asked.scalar("MAX_TILES") if asked.has("MAX_TILES") else 0
        tiles = min(settings.tile_count, most or MAX_TILES)
        count = tiles + (tiles > 1)
        encoder.active += 1
        try:
            for index in range(count):
                await encoder.meter.pay(encoder.cost.of(1, encoder.active - 1))
                encoder.work += 1
                rows = rows_of(picture + bytes([index]), settings.tokens_per_tile, settings.width)
                shape = (settings.tokens_per_tile, settings.width)
                tile = integer_tensor("TILE", (index, count))
                await self._send(reply_to(asked, Tensor("EMBEDDINGS", "FP16", shape, rows), tile))
        finally:
            encoder.active -= 1


class SpeechEncoder:
    """Answers sound."""

    def __init__(self, pace: Pace, cost: Cost | None = None, settings: SensesSettings | None = None) -> None:
        self.cost, self.settings = cost or Cost(), settings or SensesSettings()
        self.meter = Meter(pace)
        self.work = self.active = 0

    def call(self, send: Send) -> Call:
        return _Utterance(self, send)


class _Utterance(Call):
    """One utterance: two embeddings for each 160 ms."""

    def __init__(self, encoder: SpeechEncoder, send: Send) -> None:
        self._encoder, self._send = encoder, send
        self._opened: Asked | None = None  # everything answers this request
        self._held = bytearray()
        self._heard_bytes = 0

    async def take(self, asked: Asked) -> None:
        if asked.op == "open":
            self.close()
            self._heard_bytes = 0
            self._opened = asked
            self._encoder.active += 1
            return
        if asked.op not in ("push", "finish", "end"):
            raise Refused("BAD_INPUT", f"op: {asked.op!r} is not known")
        if self._opened is None:
            raise Refused("COMPONENT_UNAVAILABLE", "there is no such utterance")
        if asked.op == "push":
            self._held += asked.tensor("SAMPLES").raw
            size = ROWS_PER_PIECE * SAMPLES_PER_ROW * BYTES_PER_SAMPLE
            while len(self._held) >= size:
                await self._hear(bytes(self._held[:size]))
                del self._held[:size]
            return
        opened = self._opened
        if asked.op == "finish" and self._held:
            await self._hear(bytes(self._held))
        self.close()
        if asked.op == "finish":
            nothing = Tensor("EMBEDDINGS", "FP16", (0, self._encoder.settings.width), b"")
            await self._send(reply_to(opened, nothing, integer_tensor("END", [1])))

    def close(self) -> None:
        self._encoder.active -= self._opened is not None
        self._opened = None
        self._held.clear()

    async def _hear(self, sound: bytes) -> None:
        encoder, size = self._encoder, SAMPLES_PER_ROW * BYTES_PER_SAMPLE
        rows = [rows_of(sound[at : at + size], 1, encoder.settings.width) for at in range(0, len(sound), size)]
        await encoder.meter.pay(encoder.cost.of(len(rows), encoder.active - 1))
        encoder.work += len(rows)
        self._heard_bytes += len(sound)
        if self._opened is not None:
            embeddings = Tensor("EMBEDDINGS", "FP16", (len(rows), encoder.settings.width), b"".join(rows))
            await self._send(reply_to(self._opened, embeddings, *self._turn_end()))

    def _turn_end(self) -> tuple[Tensor, ...]:
        finished = self._encoder.settings.finished
        if finished is None:
            return ()
        heard_ms = self._heard_bytes // BYTES_PER_MS
        return Tensor("FINISHED", "FP32", (1,), struct.pack("<f", finished)), integer_tensor("HEARD_MS", [heard_ms])
