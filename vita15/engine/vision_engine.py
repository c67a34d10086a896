"""Pictures to embeddings, a tile a step, taking turns among pictures: a large one does not hold up a small one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vita15.checkpoint import load_into, load_manifest
from vita15.config import VisionEncoderConfig
from vita15.engine.errors import AtCapacity, BadRequest, EngineError
from vita15.engine.worker import Worker
from vita15.errors import BadPicture, CheckpointError
from vita15.images import cut_tiles, load_picture
from vita15.vision_encoder import VisionEncoder

MAX_WAITING = 64  # pictures held at once, compressed or cut


@dataclass(frozen=True, slots=True)
class TileEvent:
    """Embeddings of a tile; the last event of a picture has `is_last`, perhaps with an error."""

    embeddings: Tensor | None  # (tokens, width)
    index: int = 0
    count: int = 0
    is_last: bool = False
    error: str = ""  # "<reason>: <message>"


Reply = Callable[[TileEvent], None]  # called on the engine's thread: must not block


@dataclass(slots=True, eq=False)
class Picture:
    """A picture being encoded; the caller makes it, and keeps it to cancel it."""

    data: bytes  # compressed
    max_tiles: int  # the thumbnail not counted; 0: the model's own limit
    reply: Reply
    tiles: Tensor | None = None  # (n, 3, px, px), once decoded
    done: int = 0

    def fail(self, message: str) -> None:
        """End with an error."""
        self.reply(TileEvent(None, is_last=True, error=message))


class VisionEngine(Worker):
    """Runs the vision encoder."""

    def __init__(self, encoder: VisionEncoder) -> None:
        super().__init__("vision-engine")
        self._encoder = encoder.eval()
        self._pictures: deque[Picture] = deque()

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> VisionEngine:
        """Load a checkpoint."""
        config = load_manifest(folder).component_config()
        if not isinstance(config, VisionEncoderConfig):
            raise CheckpointError(f"{folder}: not a vision encoder")
        engine = cls(load_into(VisionEncoder(config), folder).to(device))
        with torch.inference_mode():  # the first run of every kernel is slow
            engine._encoder(torch.zeros(1, 3, config.tile_px, config.tile_px, device=device))
        return engine

    def encode(self, picture: Picture) -> None:
        """Encode a picture."""
        self.submit(partial(self._accept, picture))

    def cancel(self, picture: Picture) -> None:
        """Drop a picture; nothing more is said about it."""
        self.submit(partial(self._drop, picture))

    def _accept(self, picture: Picture) -> None:
        most = self._encoder.config.max_tiles
        try:
            if len(self._pictures) >= MAX_WAITING:
                raise AtCapacity(f"{MAX_WAITING} pictures are waiting")
            if not 0 <= picture.max_tiles <= most:
                raise BadRequest(f"max_tiles: {picture.max_tiles} is outside 0 to {most}")
        except EngineError as error:
            picture.fail(str(error))
            return
        picture.max_tiles = picture.max_tiles or most
        self._pictures.append(picture)
        self.statistics.sessions = len(self._pictures)

    def _drop(self, picture: Picture) -> None:
        if picture in self._pictures:
            self._pictures.remove(picture)
        self.statistics.sessions = len(self._pictures)

    def has_work(self) -> bool:
        return bool(self._pictures)

    def step(self) -> int:
        picture = self._pictures[0]
        if picture.tiles is None:
            self._cut(picture)
        else:
            self._encode_tile(picture, picture.tiles)
        if self._pictures and self._pictures[0] is picture:
            self._pictures.rotate(-1)
        return 1

    def abandon(self, error: Exception) -> None:
        picture = self._pictures[0]
        self._drop(picture)
        picture.fail(f"ERROR_REASON_INTERNAL: {type(error).__name__} in a step")

    def _cut(self, picture: Picture) -> None:
        try:
            picture.tiles = cut_tiles(load_picture(picture.data), self._encoder.config.tile_px, picture.max_tiles)
            picture.data = b""
        except BadPicture as error:
            self._drop(picture)
            picture.fail(f"{error.reason}: {error}")

    def _encode_tile(self, picture: Picture, tiles: Tensor) -> None:
        weight = next(self._encoder.parameters())
        embeddings = self._encoder(tiles[picture.done : picture.done + 1].to(weight))[0].cpu()
        index, picture.done = picture.done, picture.done + 1
        is_last = picture.done == len(tiles)
        if is_last:
            self._drop(picture)
        self.statistics.items += 1
        picture.reply(TileEvent(embeddings, index, len(tiles), is_last))
