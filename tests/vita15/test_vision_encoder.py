"""The vision encoder: what it gives, and in which order."""

from __future__ import annotations

import pytest
import torch

from vita15.config import TINY
from vita15.vision_encoder import VisionEncoder, pixel_shuffle

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def encoder() -> VisionEncoder:
    torch.manual_seed(0)
    return VisionEncoder(TINY.vision_encoder).eval()


def test_a_tile_gives_sixteen_embeddings(encoder: VisionEncoder) -> None:
    tiles = torch.randn(3, 3, 112, 112)
    assert encoder(tiles).shape == (3, TINY.vision_encoder.tokens_per_tile, 384) == (3, 16, 384)


def test_a_batch_equals_its_tiles_one_by_one(encoder: VisionEncoder) -> None:
    tiles = torch.randn(4, 3, 112, 112)
    singly = torch.cat([encoder(tile[None]) for tile in tiles])
    torch.testing.assert_close(encoder(tiles), singly, rtol=1e-4, atol=1e-5)


def test_pixel_shuffle_joins_left_before_right_and_upper_before_lower() -> None:
    grid = torch.arange(16.0).reshape(1, 4, 4, 1)
    assert pixel_shuffle(grid)[0, 0, 0].tolist() == [0, 1, 4, 5]
    assert pixel_shuffle(grid)[0, 0, 1].tolist() == [2, 3, 6, 7]
    assert pixel_shuffle(grid)[0, 1, 0].tolist() == [8, 9, 12, 13]


def test_pixel_shuffle_equals_the_definition_in_two_steps() -> None:
    x = torch.randn(2, 8, 8, 5)
    halved = x.reshape(2, 8, 4, 10).permute(0, 2, 1, 3)  # (n, col', row, 2c)
    expected = halved.reshape(2, 4, 4, 20).permute(0, 2, 1, 3)  # (n, row', col', 4c)
    assert torch.equal(pixel_shuffle(x), expected)


def test_features_are_halved_and_the_class_token_is_dropped(encoder: VisionEncoder) -> None:
    tile = torch.randn(1, 3, 112, 112)
    last = encoder.tower(pixel_values=tile).last_hidden_state
    assert last.shape[1] == 65
    expected = pixel_shuffle(0.5 * last[:, 1:].reshape(1, 8, 8, 128)).reshape(1, 16, 512)
    torch.testing.assert_close(encoder.features(tile), expected)


def test_gradients_reach_the_patches(encoder: VisionEncoder) -> None:
    encoder(torch.randn(2, 3, 112, 112)).sum().backward()
    assert encoder.tower.embeddings.patch_embeddings.projection.weight.grad.abs().sum() > 0
    encoder.zero_grad()
