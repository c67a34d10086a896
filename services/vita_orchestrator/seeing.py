"""Seeing a picture: its tiles leave the vision encoder one by one, each appended while the next is being made.

So two tiles are in flight, no more: at full size one is 1.8 MB, and a picture has up to thirteen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from vita_orchestrator.channel import one_ahead
from vita_orchestrator.components import Embeddings, VisionEncoder
from vita_orchestrator.measures import stage
from vita_orchestrator.patience import Patience


class Sight:
    """One picture as a source of rows for the context."""

    is_whole = True

    def __init__(
        self, picture: bytes, max_tile_count: int, encoder: VisionEncoder, new_patience: Callable[[], Patience]
    ) -> None:
        self._picture = picture
        self._max_tile_count = max_tile_count
        self._encoder = encoder
        self._new_patience = new_patience

    async def rows(self, start: int) -> AsyncGenerator[Embeddings]:
        """Yield the tiles behind row `start`.

        Raises:
            BadMedia: it is no picture.
            ComponentUnavailable, ComponentDeadline: the vision encoder was lost and did not come back.
        """
        seen = 0
        async with aclosing(one_ahead(self._tiles())) as tiles:
            async for tile in tiles:
                if seen >= start:  # tiles have equal sizes, so each is either placed or not
                    yield tile
                seen += tile.count

    async def _tiles(self) -> AsyncGenerator[Embeddings]:
        patience = self._new_patience()
        with stage("vision_encoder"):
            async with aclosing(patience.stream("vision_encoder", self._encode, lambda tile: tile.count)) as tiles:
                async for tile, _ in tiles:
                    yield tile

    def _encode(self) -> AsyncIterator[Embeddings]:
        return self._encoder.encode(self._picture, max_tile_count=self._max_tile_count)
