"""The parts of the model that understand: what stages 0.1 to 2.3 teach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vita15.config import VitaConfig
from vita15.fbank import fbank, frame_count
from vita15.llm import build_llm, embed
from vita15.speech_encoder import Mode, SpeechEncoder
from vita15.vision_encoder import VisionEncoder
from vita_training.data.media import Sound
from vita_training.recipe.rows import Row

EMBEDDING_DEVIATION = 0.3  # of the text table at the start: near the media embeddings' size


@dataclass
class Embedded:
    """A batch's embeddings, and apart from them what the media became."""

    rows: Tensor  # (B, T, embed)
    seen: Tensor | None = None  # (n, embed), of all that is seen and labelled
    labels: Tensor | None = None  # (n, 4)
    heard: Tensor | None = None  # (clips, T, embed), T the embeddings of the longest
    counts: Tensor | None = None  # (clips,)
    said: list[str] = field(default_factory=list[str])
    words: Tensor | None = None  # (clips, T, 1 + vocab), how like each word each embedding of a clip is


class Assistant(nn.Module):
    """All of VITA but its voice."""

    def __init__(self, config: VitaConfig, *, attention: str = "eager") -> None:
        """Draw fresh weights. `eager` trains faster than `sdpa` in bf16 on a CPU, and tells its attention."""
        super().__init__()
        self.config = config
        self.vision = VisionEncoder(config.vision_encoder, attention=attention)
        self.speech = SpeechEncoder(config.speech_encoder)
        self.llm = build_llm(config.llm, attention=attention)
        nn.init.normal_(self.llm.model.embed_tokens.weight, std=EMBEDDING_DEVIATION)
        for layers in (self.llm.model.layers, self.vision.tower.encoder.layer):
            draw_by_width(layers)
        self._has_attentions = attention == "eager"
        self._run_layers: Callable[[Tensor], tuple[Tensor, tuple[Tensor, ...]]] = self.plain_layers

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.llm.lm_head.weight.device

    def compile_layers(self) -> None:
        """Let torch compile the language model's layers: 1.6 times as fast on a CPU, after a minute."""
        self._run_layers = torch.compile(self.plain_layers, dynamic=True)

    def checkpoint_gradients(self) -> None:
        """Keep less of the forward pass, and compute it again on the way back: for models that would not fit."""
        self.llm.activation_checkpointing_enable()
        self.vision.tower.activation_checkpointing_enable()

    def layers(self, embeddings: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The language model's layers: (B, T, embed) → (B, T, hidden), and each layer's attention (B, heads, T, T)."""
        return self._run_layers(embeddings)

    def plain_layers(self, embeddings: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`layers`, never compiled."""
        out = self.llm.model(inputs_embeds=embeddings, use_cache=False, output_attentions=self._has_attentions)
        return out.last_hidden_state, out.attentions or ()

    def embeddings(self, rows: Sequence[Row], ids: Tensor, mode: Mode = "stream") -> Embedded:
        """Put what is seen and heard into the text's embeddings; ids (B, T) on the model's device."""
        embedded = Embedded(embed(self.llm, ids))
        self._put_sights(embedded, rows)
        self._put_sounds(embedded, rows, mode)
        prompts = [(i, start) for i, row in enumerate(rows) for start in row.prompts]
        if prompts and self.speech.prompt is not None:
            weight = self.speech.prompt.weight
            spans = [(i, start, len(weight)) for i, start in prompts]
            embedded.rows = _put(embedded.rows, weight.repeat(len(prompts), 1), spans)
        return embedded

    def _put_sights(self, embedded: Embedded, rows: Sequence[Row]) -> None:
        sights = [(i, start, sight) for i, row in enumerate(rows) for start, sight in row.sights]
        if not sights:
            return
        tiles = torch.cat([sight.tiles for *_, sight in sights]).to(embedded.rows.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and _learns(self.vision.tower)):
            features = self.vision.features(tiles)
        projected = self.vision.projector(features).flatten(0, 1)
        per_tile = self.config.vision_encoder.tokens_per_tile
        spans = [(i, start, per_tile * len(sight.tiles)) for i, start, sight in sights]
        embedded.rows = _put(embedded.rows, projected, spans)
        parts = projected.split([count for *_, count in spans])
        known = [(part, s.labels) for part, (*_, s) in zip(parts, sights, strict=True) if s.labels is not None]
        if known:
            embedded.seen = torch.cat([part for part, _ in known])
            embedded.labels = torch.cat([labels for _, labels in known]).to(projected.device)

    def _put_sounds(self, embedded: Embedded, rows: Sequence[Row], mode: Mode) -> None:
        sounds = [(i, start, sound) for i, row in enumerate(rows) for start, sound in row.sounds]
        if not sounds:
            return
        features, lengths = features_of([sound for *_, sound in sounds], embedded.rows.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and _learns(self.speech.blocks)):
            frames, frame_lengths = self.speech.encode_frames(features, lengths, mode)
        embedded.heard, embedded.counts = self.speech.adapt(frames, frame_lengths)
        embedded.said = [sound.text for *_, sound in sounds]
        counts = embedded.counts.tolist()
        kept = torch.cat([row[:n] for row, n in zip(embedded.heard, counts, strict=True)])
        spans = [(i, start, n) for (i, start, _), n in zip(sounds, counts, strict=True)]
        embedded.rows = _put(embedded.rows, kept, spans)


def features_of(sounds: Sequence[Sound], device: torch.device) -> tuple[Tensor, Tensor]:
    """Features (B, N, 80) of clips, padded, and how many frames of each count, (B,)."""
    padded = pad_sequence([sound.samples for sound in sounds], batch_first=True).to(device)
    return fbank(padded), torch.tensor([frame_count(len(sound.samples)) for sound in sounds]).to(device)


@torch.no_grad()
def draw_by_width(layers: nn.Module) -> None:
    """Draw weights anew, each matrix as strong as its width asks for.

    transformers' 0.02 suits widths in the thousands; at 384 it kept the model from learning to look at the thing that
    is meant (training/LOG.md).
    """
    for name, weight in layers.named_parameters():
        if weight.dim() == 2:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        else:
            nn.init.constant_(weight, 0.0 if name.endswith("bias") else 1.0)


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _put(embedded: Tensor, rows: Tensor, spans: list[tuple[int, int, int]]) -> Tensor:
    """Write rows (n, embed) over (batch index, start, count) spans."""
    batch = torch.cat([torch.full((count,), index) for index, _, count in spans])
    position = torch.cat([torch.arange(start, start + count) for _, start, count in spans])
    return embedded.index_put((batch.to(rows.device), position.to(rows.device)), rows.to(embedded.dtype))
