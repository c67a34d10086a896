"""Speech features to embeddings, 12.5 a second: subsampling, a streaming transformer, an adapter (docs/model.md, 2).

Attention scores are `((q + u)·k_j + (q + v)·p_j) / √d`, where p_j depends on the key's place alone: the original leaves
out the relative shift. They are regrouped here as `q·(k_j + p_j) + (u·k_j + v·p_j)`: a key that holds its place, and a
bias of its own. Both can be cached, so that streaming attends to absolute places and equals one masked pass.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vita15.config import SpeechEncoderConfig
from vita15.errors import SpeechTooLong
from vita15.turn_end import TurnEnd

Mode = Literal["full", "stream", "dynamic"]

DROPOUT = 0.1  # (docs/model.md, 2.2)
ADAPTER_NORM_EPS = 1e-3  # (docs/model.md, 2.3)
SUBSAMPLING = 4  # feature frames a step of the subsampling
SUBSAMPLING_SPAN = 7  # feature frames that one encoder frame sees
ADAPTER_STRIDE = 2
MAX_DYNAMIC_CHUNK = 25  # encoder frames: one second


def encoder_frame_count(feature_count: int) -> int:
    """Count the encoder frames (40 ms) that so many feature frames (10 ms) give."""
    return max(0, ((feature_count - 1) // 2 - 1) // 2)


def embedding_count(feature_count: int) -> int:
    """Count the embeddings that so many feature frames give."""
    return (encoder_frame_count(feature_count) - 1) // ADAPTER_STRIDE + 1


class Subsampling(nn.Module):
    """Two strided convolutions over time and frequency: 10 ms frames to 40 ms frames."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        channels, bins = config.subsampling_channels, ((config.mel_bins - 1) // 2 - 1) // 2
        self.conv_in = nn.Conv2d(1, channels, 3, stride=2)
        self.conv_out = nn.Conv2d(channels, channels, 3, stride=2)
        self.out = nn.Linear(channels * bins, config.hidden)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, mel_bins) → (B, T, hidden); N must give at least one frame."""
        hidden = F.relu(self.conv_out(F.relu(self.conv_in(features[:, None]))))
        return self.out(hidden.transpose(1, 2).flatten(2))  # channel-major: channel · bins + bin


class Memory(Protocol):
    """What one layer remembers of the frames already heard."""

    def extend(self, keys: Tensor, biases: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Put what is remembered before (B, H, T, D) keys, (B, H, T) biases and (B, H, T, D) values."""
        ...


class KeyMemory:
    """One utterance's memory: keys with their places, their biases, values."""

    def __init__(self, max_frames: int) -> None:
        self._max_frames = max_frames
        self._held: tuple[Tensor, Tensor, Tensor] | None = None

    def extend(self, keys: Tensor, biases: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Join, and remember the newest; a batch of one."""
        joined = (keys, biases, values)
        if self._held is not None:
            held_keys, held_biases, held_values = self._held
            joined = (
                torch.cat([held_keys, keys], 2),
                torch.cat([held_biases, biases], 2),
                torch.cat([held_values, values], 2),
            )
        first = max(0, joined[0].shape[2] - self._max_frames)
        self._held = (joined[0][:, :, first:], joined[1][:, :, first:], joined[2][:, :, first:])
        return joined


class Attention(nn.Module):
    """Self-attention with a position term of the key alone."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.heads, self.width = config.heads, config.hidden // config.heads
        self.linear_q = nn.Linear(config.hidden, config.hidden)
        self.linear_k = nn.Linear(config.hidden, config.hidden)
        self.linear_v = nn.Linear(config.hidden, config.hidden)
        self.linear_out = nn.Linear(config.hidden, config.hidden)
        self.linear_pos = nn.Linear(config.hidden, config.hidden, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(self.heads, self.width))
        self.pos_bias_v = nn.Parameter(torch.empty(self.heads, self.width))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def forward(self, x: Tensor, places: Tensor, mask: Tensor, memory: Memory | None) -> Tensor:
        """(B, T, hidden), places (B or 1, T, hidden), mask (B or 1, T, keys) bool, true = seen → (B, T, hidden)."""
        query, content, values = (self._split(linear(x)) for linear in (self.linear_q, self.linear_k, self.linear_v))
        place = self._split(self.linear_pos(places.to(x.dtype)))
        biases = (content * self.pos_bias_u[:, None]).sum(-1) + (place * self.pos_bias_v[:, None]).sum(-1)
        keys = content + place
        if memory is not None:
            keys, biases, values = memory.extend(keys, biases, values)
        scale = 1 / math.sqrt(self.width)
        # Half the lowest number, not -∞: a padded row that sees nothing then averages instead of dividing by zero.
        hidden_score = torch.finfo(x.dtype).min / 2
        scores = (biases[:, :, None] * scale).masked_fill(~mask[:, None], hidden_score)
        seen = F.scaled_dot_product_attention(query, keys, values, attn_mask=scores, scale=scale)
        return self.linear_out(seen.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.width)).transpose(1, 2)


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and around a residual."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.hidden, config.ffn), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(config.ffn, config.hidden)
        )
        self.norm1 = nn.LayerNorm(config.hidden)
        self.norm2 = nn.LayerNorm(config.hidden)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, places: Tensor, mask: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, T, hidden) → (B, T, hidden)."""
        x = x + self.dropout(self.attention(self.norm1(x), places, mask, memory))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class Adapter(nn.Module):
    """Halve the frame rate and go over to the language model's embedding space."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.kernel = config.adapter_kernel
        self.conv = nn.Conv1d(config.hidden, config.adapter_hidden, self.kernel, stride=ADAPTER_STRIDE)
        self.norm = nn.LayerNorm(config.adapter_hidden, eps=ADAPTER_NORM_EPS)
        self.project = nn.Linear(config.adapter_hidden, config.embed)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, hidden) → (B, (T − kernel) // 2 + 1, embed); the caller pads."""
        return self.project(F.gelu(self.norm(self.conv(frames.transpose(1, 2)).transpose(1, 2))))


class SpeechEncoder(nn.Module):
    """The encoder, its feature normalisation, and the adapter."""

    mean: Tensor
    inverse_deviation: Tensor
    places: Tensor

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.mel_bins))
        self.register_buffer("inverse_deviation", torch.ones(config.mel_bins))
        self.subsampling = Subsampling(config)
        self.input = nn.Sequential(
            nn.Linear(config.hidden, config.hidden), nn.LayerNorm(config.hidden), nn.Dropout(DROPOUT), nn.ReLU()
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.after_norm = nn.LayerNorm(config.hidden)
        self.adapter = Adapter(config)
        self.prompt = nn.Embedding(config.prompt_count, config.embed) if config.prompt_count else None
        self.turn_end = TurnEnd(config.hidden, config.turn_end_hidden) if config.turn_end_hidden else None
        self.register_buffer("places", sinusoids(config.max_frames, config.hidden), persistent=False)

    def forward(
        self, features: Tensor, lengths: Tensor, mode: Mode = "full", generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embed a padded batch of clips.

        Args:
            features: (B, N, mel_bins) from `fbank`, not normalised; what lies past a clip's length does not matter.
            lengths: (B,) int64, feature frames of each clip.
            mode: what a frame may see: `full` the clip, `stream` chunks as when streaming, `dynamic` random chunks.
            generator: draws the chunks of `dynamic`.

        Returns:
            (B, T, embed), and how many embeddings of each clip count, (B,).

        Raises:
            SpeechTooLong: a clip has more frames than the position table.
        """
        return self.adapt(*self.encode_frames(features, lengths, mode, generator))

    def encode_frames(
        self, features: Tensor, lengths: Tensor, mode: Mode = "full", generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode without the adapter, as for CTC: → (B, T, hidden) at 25 Hz, lengths (B,). As `forward` otherwise."""
        count = encoder_frame_count(features.shape[1])
        frame_lengths = (((lengths - 1) // 2 - 1) // 2).clamp_min(0)
        if count == 0:
            return self.after_norm.weight.new_zeros((len(features), 0, self.config.hidden)), frame_lengths
        self.check_room(count)
        x = self.embed_features(features)
        is_frame = torch.arange(count, device=x.device) < frame_lengths[:, None]
        mask = self._mask(count, mode, generator).to(x.device) & is_frame[:, None]
        for block in self.blocks:
            x = block(x, self.places[None, :count], mask)
        return self.after_norm(x), frame_lengths

    def embed_features(self, features: Tensor) -> Tensor:
        """Normalise and subsample: (B, N, mel_bins) → (B, T, hidden), ready for the blocks."""
        normalised = (features - self.mean) * self.inverse_deviation  # in the features' own float32
        x = self.subsampling(normalised.to(self.subsampling.out.weight.dtype))
        return self.input(x) * math.sqrt(self.config.hidden)

    def check_room(self, frame_count: int) -> None:
        """Check that so many encoder frames have places.

        Raises:
            SpeechTooLong: they have not.
        """
        if frame_count > self.config.max_frames:
            limit_s = self.config.max_frames * SUBSAMPLING / 100
            raise SpeechTooLong(f"speech of more than {limit_s:g} s in one utterance; the model hears no further")

    def adapt(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Take encoder frames (B, T, hidden) and their lengths to embeddings and theirs."""
        counts = (lengths - 1).div(ADAPTER_STRIDE, rounding_mode="floor") + 1
        if frames.shape[1] == 0:
            return frames.new_zeros((len(frames), 0, self.config.embed)), counts
        is_frame = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        frames = frames.masked_fill(~is_frame[..., None], 0)
        return self.adapter(F.pad(frames, (0, 0, 0, self.adapter.kernel - 1))), counts

    def with_prompt(self, embeddings: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Put the trainable vectors for transcription, if there are any, before each clip's embeddings."""
        if self.prompt is None:
            return embeddings, lengths
        prompt = self.prompt.weight.expand(len(embeddings), -1, -1)
        return torch.cat([prompt, embeddings], 1), lengths + self.config.prompt_count

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Set what features are normalised by: each (mel_bins,), of the features of many clips."""
        self.mean.copy_(mean)
        self.inverse_deviation.copy_(1 / deviation.clamp_min(1e-10))

    def _mask(self, count: int, mode: Mode, generator: torch.Generator | None) -> Tensor:
        chunk, left_chunks = self.config.chunk_frames, self.config.left_chunks
        if mode == "dynamic":
            chunk, left_chunks = draw_chunks(count, generator)
        if mode == "full":
            chunk, left_chunks = count, 0
        indices = torch.arange(count)
        return chunk_mask(indices, indices, chunk, left_chunks)[None]


def sinusoids(count: int, width: int) -> Tensor:
    """Position table (count, width): sine and cosine interleaved, wavelengths from 2π to 20000π."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def chunk_mask(queries: Tensor, keys: Tensor, chunk: int, left_chunks: int) -> Tensor:
    """Say which frames see which: their own chunk, and some before. Indices (…, T), (…, K) → (…, T, K) bool."""
    distance = (queries // chunk)[..., :, None] - (keys // chunk)[..., None, :]
    return (distance >= 0) & (distance <= left_chunks)


def draw_chunks(count: int, generator: torch.Generator | None = None) -> tuple[int, int]:
    """Draw a chunk size and how many chunks are seen to the left, for training (docs/model.md, 2.2)."""
    draw = _draw(1, max(2, count), generator)
    if draw > count / 2:
        return count, 0
    chunk = draw % MAX_DYNAMIC_CHUNK + 1
    return chunk, _draw(0, max(1, (count - 1) // chunk), generator)


def _draw(low: int, high: int, generator: torch.Generator | None) -> int:
    return cast(int, torch.randint(low, high, (), generator=generator).item())
