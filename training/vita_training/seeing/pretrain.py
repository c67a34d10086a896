"""Stage 1.1, made small: the vision encoder learns what things are and where, before it meets the language model.

`python -m vita_training.seeing.pretrain --minutes 6`: every embedding (after the projector) must tell the colour, the
shape and the place of the thing in its cell, through three linear heads that are then thrown away.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vita15.config import TINY, VisionEncoderConfig
from vita15.vision_encoder import VisionEncoder
from vita_training.run_log import RunLog
from vita_training.schedule import Averages, Clock, learning_rate
from vita_training.seeing.labels import LABEL_SIZES, NOTHING
from vita_training.seeing.picture_pool import PooledPicture, make_pool

DEFAULT_FOLDER = Path(".vita/training/seeing")
BATCH_TILES = 48
POOL_PICTURES = 8_000
LARGE_SHARE = 0.07  # of the pool; they have up to 13 tiles each
REPORT_STEPS = 50


class LabelledVision(nn.Module):
    """The vision encoder with the three heads of this stage."""

    def __init__(self, config: VisionEncoderConfig) -> None:
        super().__init__()
        self.encoder = VisionEncoder(config, attention="eager")  # trains twice as fast as sdpa in bf16 on a CPU
        self.heads = nn.ModuleList(nn.Linear(config.embed, size) for size in LABEL_SIZES)

    def forward(self, tiles: Tensor) -> list[Tensor]:
        """(n, 3, px, px) → for each label (n, tokens, classes)."""
        embeddings = self.encoder(tiles)
        return [head(embeddings) for head in self.heads]


def sample_batch(rng: random.Random, pool: list[PooledPicture], tile_count: int) -> tuple[Tensor, Tensor]:
    """Draw about `tile_count` tiles (n, 3, px, px) with their labels (n, tokens, 3), whole pictures at a time."""
    chosen: list[PooledPicture] = []
    while sum(len(picture.tiles) for picture in chosen) < tile_count:
        chosen.append(rng.choice(pool))
    return torch.cat([p.tiles for p in chosen]).float(), torch.cat([p.labels for p in chosen])


def loss_and_accuracy(logits: list[Tensor], labels: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the three labels, and the share right among cells that show something.

    Those cells count ten times: there are ten times fewer of them.
    """
    loss = torch.zeros(())
    right: dict[str, float] = {}
    shown = labels[..., 0] != NOTHING
    for name, head, target in zip(("colour", "shape", "place"), logits, labels.unbind(-1), strict=True):
        losses = functional.cross_entropy(head.float().flatten(0, 1), target.flatten(), reduction="none")
        loss = loss + (losses * (1 + 9 * shown.flatten())).mean()
        right[name] = (head.argmax(-1) == target)[shown].float().mean().item()
    return loss, right


def train(minutes: float, seed: int, folder: Path) -> None:
    """Train, from the weights in `folder` if there are any, and keep the encoder's there."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng, config = random.Random(seed), TINY.vision_encoder
    pool = make_pool(rng, POOL_PICTURES, LARGE_SHARE, config)
    model, log, clock, averages = LabelledVision(config), RunLog(folder), Clock(minutes), Averages()
    if (folder / "encoder.pt").exists():
        model.encoder.load_state_dict(torch.load(folder / "encoder.pt", weights_only=True))
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.02)
    step = 0
    while clock.share < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(1.5e-3, clock.share, step)
        tiles, labels = sample_batch(rng, pool, BATCH_TILES)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(tiles)
        loss, right = loss_and_accuracy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        averages.add(loss=loss.item(), **right)
        if step % REPORT_STEPS == 0:
            log.report(step=step, minutes=clock.elapsed_minutes, **averages.take())
            torch.save(model.encoder.state_dict(), folder / "encoder.pt")
    torch.save(model.encoder.state_dict(), folder / "encoder.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    options = parser.parse_args()
    train(options.minutes, options.seed, options.folder)


if __name__ == "__main__":
    main()
