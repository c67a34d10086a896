"""Vision encoder: a compressed picture in, embeddings out, one answer a tile; any replica can serve any picture."""

from __future__ import annotations

from pathlib import Path

from vita_runtime.triton_model import Call, StreamingModel

from vita15.engine.device import use_threads
from vita15.engine.vision_engine import Picture, TileEvent, VisionEngine


class TritonPythonModel(StreamingModel[VisionEngine]):
    def load(self) -> None:
        use_threads(int(self.parameter("threads", "1")))
        weights = Path(self.parameter("weights"))
        self.engine = VisionEngine.load(weights, self.parameter("device", "cpu"))

    def receive(self, call: Call) -> None:
        data, max_tiles = call.request.data("PICTURE"), call.request.scalar("MAX_TILES", 0)
        picture = Picture(data, max_tiles, lambda event: send(call, event))
        call.watch(lambda: self.engine.cancel(picture))
        self.engine.encode(picture)


def send(call: Call, event: TileEvent) -> None:
    if event.error:
        call.fail(event.error)
    else:
        answer = call.finish if event.is_last else call.reply
        answer(EMBEDDINGS=event.embeddings, TILE=(event.index, event.count))
