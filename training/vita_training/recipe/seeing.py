"""Stage 0.1, the tiny model's stand-in for InternViT's own training: the tower learns what things are and where.

Of the features of each cell, four linear heads must tell the colour, the shape, the place and the size of the thing
that is gathered in it (vita_training.data.media). The heads are then thrown away.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vita_training.data.media import LABELS, NOTHING, Sight, see_picture, see_video
from vita_training.data.pools import Mixture
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.rows import DETAILED_SHARE

BATCH_TILES = 48
MOST_FRUITLESS = 300  # samples drawn in a row of which nothing is known, before a batch is given up
NAMES = ("colour", "shape", "place", "size")  # of LABELS
SHOWN_WEIGHT = 9.0  # added where something is shown: such cells are ten times fewer


class LabelledTower(nn.Module):
    """The assistant with the heads of this stage."""

    def __init__(self, assistant: Assistant) -> None:
        super().__init__()
        self.assistant = assistant
        width = 4 * assistant.config.vision_encoder.hidden
        self.heads = nn.ModuleList(nn.Linear(width, len(words) + 1) for words in LABELS)


@dataclass
class SeeingLesson:
    """A batch is what is seen, about BATCH_TILES tiles of it."""

    model: LabelledTower
    rates: Mapping[str, float]
    mixture: Mixture
    seed: int
    development: Sequence[Sequence[Sight]] = ()  # batches to judge by
    batch_tiles: int = BATCH_TILES

    def batch(self, number: int) -> list[Sight]:
        """See `Lesson`.

        Raises:
            RecipeError: of many samples in a row none says what its pictures show.
        """
        rng = random.Random(f"{self.seed}/{number}")
        seen: list[Sight] = []
        fruitless = 0
        while sum(len(sight.tiles) for sight in seen) < self.batch_tiles:
            drawn = self._draw(rng)
            seen += drawn
            fruitless = 0 if drawn else fruitless + 1
            if fruitless == MOST_FRUITLESS:
                raise RecipeError(
                    f"of {fruitless} samples in a row none says what its pictures show (`things`, `video_things`); "
                    "without that the tower learns nothing here: begin with a ready one (--start)"
                )
        return seen

    def loss(self, batch: Sequence[Sight]) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson`."""
        model = self.model
        device = model.assistant.device
        features = model.assistant.vision.features(torch.cat([sight.tiles for sight in batch]).to(device))
        logits = [head(features.flatten(0, 1)).float() for head in model.heads]
        labels = torch.cat([s.labels for s in batch if s.labels is not None]).to(device)
        is_shown = labels[:, 0] != NOTHING
        loss, figures = features.new_zeros((), dtype=torch.float32), dict[str, float]()
        for name, each, target in zip(NAMES, logits, labels.unbind(-1), strict=True):
            losses = functional.cross_entropy(each, target, reduction="none")
            loss = loss + (losses * (1 + SHOWN_WEIGHT * is_shown)).mean()
            figures[name] = (each.argmax(-1) == target)[is_shown].float().mean().item()
        return loss, figures

    def judge(self) -> dict[str, float]:
        """See `Lesson`."""
        with torch.autocast(self.model.assistant.device.type, dtype=torch.bfloat16):
            judged = [self.loss(batch)[1] for batch in self.development]
        return {name: sum(figures[name] for figures in judged) / len(judged) for name in (judged[0] if judged else ())}

    def _draw(self, rng: random.Random) -> list[Sight]:
        _, sample = self.mixture.draw(rng)
        config = self.model.assistant.config.vision_encoder
        seen = [see_picture(p, config, is_detailed=rng.random() < DETAILED_SHARE) for p in sample.pictures]
        seen += [see_video(video, config) for video in sample.videos]
        return [sight for sight in seen if sight.labels is not None]
