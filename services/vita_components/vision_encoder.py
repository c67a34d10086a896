"""Client of `vision_encoder`: a compressed picture in, a reply a tile; any replica serves any picture."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from vita_orchestrator.components import Embeddings
from vita_runtime.errors import BadMedia

from vita_components.failures import garbled
from vita_components.pool import Pool
from vita_components.tensors import Reply, Tensor, integer_tensor
from vita_components.triton import Deadline, Message, build_request

TILE_S = 10.0  # longest wait for a tile: others' pictures go before; 13 tiles at full size take 2 s on a CPU core


def encode_request(picture: bytes, max_tile_count: int) -> Message:
    """Ask for a picture's embeddings."""
    tensors = [Tensor("PICTURE", "UINT8", (len(picture),), picture), integer_tensor("MAX_TILES", [max_tile_count])]
    return build_request("vision_encoder", tensors)


def tile_of(reply: Reply, expected: int) -> Embeddings:
    """Read the tile whose turn it is."""
    rows = reply.rows("EMBEDDINGS")
    index, count = reply.integers("TILE", 2)
    if index != expected or not index < count:
        raise garbled("vision_encoder", f"TILE is {index} of {count} where {expected} is due")
    return Embeddings(rows.raw, rows.shape[0], rows.shape[1], index, count)


@dataclass(frozen=True, slots=True)
class TritonVisionEncoder:
    """VisionEncoder over Triton."""

    pool: Pool

    async def encode(self, picture: bytes, *, max_tile_count: int) -> AsyncGenerator[Embeddings]:
        if not picture:
            raise BadMedia("picture", "is empty")
        async with self.pool.lend() as endpoint, endpoint.stream() as stream:
            await stream.send(encode_request(picture, max_tile_count))
            for index in itertools.count():
                tile = tile_of(await stream.expect(Deadline(TILE_S)), index)
                yield tile
                if index + 1 == tile.tile_count:
                    return
