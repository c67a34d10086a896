"""The parts that learn together in the last stage: projector, adapter and language model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from vita15.config import VitaConfig
from vita15.llm import build_llm, embed
from vita15.speech_encoder import SpeechEncoder
from vita15.vision_encoder import VisionEncoder
from vita_training.answering.alignment import Alignment
from vita_training.answering.conversations import Turn
from vita_training.answering.embedded import Embedded
from vita_training.answering.looking import looking_loss
from vita_training.answering.splice import IGNORED, Row, pad

EMBEDDING_DEVIATION = 0.3  # of the text table at the start: near the media embeddings' size


class Assistant(nn.Module):
    """All of VITA but its voice. The vision tower and the speech encoder's blocks stay as they were pretrained."""

    def __init__(self, config: VitaConfig) -> None:
        super().__init__()
        self.vision = VisionEncoder(config.vision_encoder)
        self.speech = SpeechEncoder(config.speech_encoder)
        self.llm = build_llm(config.llm, attention="eager")  # trains faster than sdpa in bf16 on a CPU
        nn.init.normal_(self.llm.model.embed_tokens.weight, std=EMBEDDING_DEVIATION)
        self.begin_layers()
        self._run_layers: Callable[[Tensor], tuple[Tensor, tuple[Tensor, ...]]] = self._plain_layers

    def begin_layers(self) -> None:
        """Draw the language model's layers anew, as strong as their width asks for; its tables stay.

        transformers' 0.02 suits widths in the thousands; at 384 it kept the model for 3,000 steps from learning to look
        at the thing that is meant (training/LOG.md).
        """
        for name, weight in self.llm.model.layers.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            else:
                nn.init.constant_(weight, 0.0 if name.endswith("bias") else 1.0)

    def compile_layers(self) -> None:
        """Let torch compile the language model's layers."""
        self._run_layers = torch.compile(self._plain_layers, dynamic=True)

    def _plain_layers(self, embeddings: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The model's layers: (B, T, embed) → (B, T, hidden), and each layer's attention (B, heads, T, T)."""
        out = self.llm.model(inputs_embeds=embeddings, use_cache=False, output_attentions=True)
        return out.last_hidden_state, out.attentions

    def trainable(self) -> list[nn.Parameter]:
        """The parameters of the last stage."""
        parts = (self.vision.projector, self.speech.adapter, self.llm)
        return [parameter for part in parts for parameter in part.parameters()]

    def load_pretrained(self, folder: Path) -> None:
        """Take the encoders from the earlier stages' folders."""
        self.vision.load_state_dict(torch.load(folder / "seeing/encoder.pt", weights_only=True))
        self.load_listener(folder)

    def load_listener(self, folder: Path) -> None:
        """Take the speech encoder, adapter included, from its own stage."""
        listener = torch.load(folder / "hearing/listener.pt", weights_only=True)
        prefix = "encoder."
        self.speech.load_state_dict({k.removeprefix(prefix): v for k, v in listener.items() if k.startswith(prefix)})

    def embeddings(self, rows: list[Row], ids: Tensor) -> Embedded:
        """Put media into the text's embeddings; ids (B, T)."""
        embedded = Embedded(embed(self.llm, ids))
        pictures = [(i, start, picture) for i, row in enumerate(rows) for start, picture in row.pictures]
        clips = [(i, start, clip) for i, row in enumerate(rows) for start, clip in row.clips]
        if pictures:
            projected = self.vision.projector(torch.cat([p.features for *_, p in pictures]).float())
            embedded.pictures = projected
            embedded.labels = torch.cat([p.labels for *_, p in pictures])
            spans = [(i, start, len(p.features)) for i, start, p in pictures]
            embedded.rows = _put(embedded.rows, projected, spans)
        if clips:
            lengths = torch.tensor([len(clip.frames) for *_, clip in clips])
            padded = pad_sequence([clip.frames.float() for *_, clip in clips], batch_first=True)
            embedded.speech, embedded.counts = self.speech.adapt(padded, lengths)
            embedded.said = [clip.text for *_, clip in clips]
            counts = embedded.counts.tolist()
            kept = torch.cat([row[:n] for row, n in zip(embedded.speech, counts, strict=True)])
            spans = [(i, start, n) for (i, start, _), n in zip(clips, counts, strict=True)]
            embedded.rows = _put(embedded.rows, kept, spans)
        return embedded

    @torch.no_grad()
    def right_answers(self, rows: list[Row]) -> list[tuple[Turn, bool, bool]]:
        """For each turn: whether its state mark is right, and whether all that a greedy answer would say is.

        Greedy generation says the expected answer exactly if every token of it is the likeliest after those before.
        """
        ids, labels = pad(rows)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.llm.lm_head(self._plain_layers(self.embeddings(rows, ids).rows)[0][:, :-1])
        is_right = (logits.argmax(-1) == labels[:, 1:]) | (labels[:, 1:] == IGNORED)
        return [
            (turn, bool(is_right[i, begin - 1]), bool(is_right[i, begin - 1 : end - 1].all()))
            for i, row in enumerate(rows)
            for begin, end, turn in row.answers
        ]

    def loss(self, rows: list[Row], alignment: Alignment) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:
        """Cross-entropy of answers, the losses of the side lessons, and the share of learnt tokens that come out."""
        ids, labels = pad(rows)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedded = self.embeddings(rows, ids)
            hidden, attentions = self._run_layers(embedded.rows)
            is_learnt = labels[:, 1:] != IGNORED
            logits = self.llm.lm_head(hidden[:, :-1][is_learnt]).float()
        targets = labels[:, 1:][is_learnt]
        right = (logits.argmax(-1) == targets).float()
        side_losses = alignment(embedded, self.llm.model.embed_tokens.weight)
        looks = [(i, look) for i, row in enumerate(rows) for look in row.looks]
        if looks:
            side_losses["looks"] = looking_loss(attentions, looks)
        return functional.cross_entropy(logits, targets), side_losses, {"right": right.mean().item()}


def _put(embedded: Tensor, rows: Tensor, spans: list[tuple[int, int, int]]) -> Tensor:
    """Write rows (n, embed) over (batch index, start, count) spans."""
    batch = torch.cat([torch.full((count,), index) for index, _, count in spans])
    position = torch.cat([torch.arange(start, start + count) for _, start, count in spans])
    return embedded.index_put((batch, position), rows.to(embedded.dtype))
