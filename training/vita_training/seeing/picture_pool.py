"""Pictures drawn once and used many times: drawing costs as much as training on them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from vita15.config import VisionEncoderConfig
from vita15.images import cut_tiles
from vita_training.seeing.labels import tile_labels
from vita_training.world.pictures import draw, sample_size
from vita_training.world.scenes import Scene, sample_scene

MAX_TILES = 12


@dataclass(frozen=True, slots=True)
class PooledPicture:
    """A scene, its tiles and what each of their cells shows."""

    scene: Scene
    tiles: Tensor  # (n, 3, px, px) bfloat16, normalised
    labels: Tensor  # (n, tokens, 3) int64


def make_pool(rng: random.Random, count: int, large_share: float, config: VisionEncoderConfig) -> list[PooledPicture]:
    """Draw `count` pictures."""
    pool: list[PooledPicture] = []
    for _ in range(count):
        drawing = draw(scene := sample_scene(rng), rng, sample_size(rng, large_share))
        tiles = cut_tiles(drawing.picture, config.tile_px, MAX_TILES)
        labels = tile_labels(drawing, config.tile_px, MAX_TILES)
        pool.append(PooledPicture(scene, tiles.to(torch.bfloat16), torch.from_numpy(labels)))
    return pool
