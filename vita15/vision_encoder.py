"""Tiles to embeddings: InternViT, features halved, pixel shuffle, projector (docs/model.md, 1).

The tower is transformers' InternVL vision model, which fits the published one to the parameter.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from transformers.models.internvl.configuration_internvl import InternVLVisionConfig
from transformers.models.internvl.modeling_internvl import InternVLVisionModel

from vita15.config import VisionEncoderConfig

# The released weights expect features of half their size: a quirk of the original, kept (docs/model.md, 1.2).
FEATURE_SCALE = 0.5


class VisionEncoder(nn.Module):
    """The tower and the projector into the language model's embedding space."""

    def __init__(self, config: VisionEncoderConfig, *, attention: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.tower = InternVLVisionModel(_tower_config(config, attention))
        self.projector = nn.Sequential(
            nn.Linear(4 * config.hidden, config.embed), nn.GELU(), nn.Linear(config.embed, config.embed)
        )

    def forward(self, tiles: Tensor) -> Tensor:
        """Encode normalised tiles: (n, 3, tile_px, tile_px) → (n, tokens_per_tile, embed)."""
        return cast(Tensor, self.projector(self.features(tiles)))

    def features(self, tiles: Tensor) -> Tensor:
        """Encode tiles without projecting: (n, 3, tile_px, tile_px) → (n, tokens_per_tile, 4 × hidden)."""
        hidden = self.tower(pixel_values=tiles).last_hidden_state[:, 1:]  # the class token goes
        side = self.config.tile_px // self.config.patch_px
        return pixel_shuffle(FEATURE_SCALE * hidden.unflatten(1, (side, side))).flatten(1, 2)


def pixel_shuffle(grid: Tensor) -> Tensor:
    """Join every 2 × 2 patches into one: (n, rows, cols, c) → (n, rows/2, cols/2, 4c), upper pair before lower."""
    count, rows, cols, width = grid.shape
    pairs = grid.reshape(count, rows // 2, 2, cols // 2, 2, width)
    return pairs.permute(0, 1, 3, 2, 4, 5).reshape(count, rows // 2, cols // 2, 4 * width)


def _tower_config(config: VisionEncoderConfig, attention: str) -> InternVLVisionConfig:
    undeclared: dict[str, Any] = {"attn_implementation": attention}
    return InternVLVisionConfig(
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.ffn,
        image_size=(config.tile_px, config.tile_px),
        patch_size=(config.patch_px, config.patch_px),
        norm_type="layer_norm",
        layer_norm_eps=config.norm_eps,
        attention_bias=True,
        use_qk_norm=False,
        use_mean_pooling=True,  # in transformers this means: no norm after the last block
        layer_scale_init_value=1.0,
        **undeclared,
    )
