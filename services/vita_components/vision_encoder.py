"""Client of `vision_encoder`: a compressed picture in, a reply a tile; any replica serves any picture."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from vita_orchestrator.components import Embeddings
from vita_runtime.errors import BadMedia

from vita_components.pool import Pool
from vita_components.tensors import Reply, Tensor, integer_tensor
from vita_components.triton import Deadline, Message, build_request

TILE_S = 10.0  # longest wait for a tile: others' pictures go before; 13 tiles at full size take 2 s on a CPU core


def encode_request(picture: bytes, max_tile_count: int) -> Message:
    """Ask for a picture's embeddings."""
    tensors = [Tensor("PICTURE", "UINT8", (len(picture),), picture), integer_tensor("MAX_TILES", [max_tile_count])]
    return build_request("vision_encoder", tensors)


def tile_of(reply: Reply) -> Embeddings:
    """Read one tile."""
    rows = reply.tensor("EMBEDDINGS")
    index, count = (int(number) for number in reply.numbers("TILE"))
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
            while True:
                tile = tile_of(await stream.expect(Deadline(TILE_S)))
                yield tile
                if tile.tile_index + 1 == tile.tile_count:
                    return
