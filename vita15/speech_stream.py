"""The speech encoder on sound as it comes: embeddings of one utterance, each as soon as it is final.

Whole chunks (160 ms) go through the blocks; each block remembers the keys of 16 chunks. An embedding waits for the four
frames after its first, and a chunk for 65 ms of look-ahead in the subsampling. What comes out equals one pass over the
whole utterance in mode `stream`. Utterances that have as many frames ready go through the blocks together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vita15.errors import SpeechTooLong
from vita15.fbank import FbankStream
from vita15.speech_encoder import (
    ADAPTER_STRIDE,
    SUBSAMPLING,
    SUBSAMPLING_SPAN,
    KeyMemory,
    SpeechEncoder,
    chunk_mask,
    encoder_frame_count,
)

FRAME_MS = 10 * SUBSAMPLING  # an encoder frame


class SpeechEncoderStream:
    """One utterance being heard."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        """Start an utterance; the encoder must be in evaluation mode and may be shared by many utterances."""
        config = encoder.config
        self.encoder = encoder
        self.heard_frames = 0  # encoder frames encoded so far
        self.finished: float | None = None  # probability that what was heard so far is a finished sentence, if known
        self._turn_state: Tensor | None = None
        left_frames = config.left_chunks * config.chunk_frames
        self.memories = [KeyMemory(left_frames) for _ in range(config.layers)]
        self._fbank = FbankStream()
        # From the first that the next frame sees; float32 whatever the weights are.
        self._features = torch.zeros((0, config.mel_bins), device=encoder.mean.device)
        self._frames = encoder.after_norm.weight.new_zeros(
            (0, config.hidden)
        )  # from the first that the next embedding sees

    @property
    def heard_ms(self) -> int:
        """Sound encoded so far: what `finished` speaks of."""
        return self.heard_frames * FRAME_MS

    def push(self, samples: Tensor) -> Tensor:
        """Hear (S,) float32 samples in [-1, 1] at 16 kHz; return the embeddings that became final, (n, embed).

        Raises:
            SpeechTooLong: the utterance runs past the position table; what was final before stays valid.
        """
        (embeddings,) = push_together([self], [samples])
        if isinstance(embeddings, SpeechTooLong):
            raise embeddings
        return embeddings

    @torch.inference_mode()
    def finish(self) -> Tensor:
        """End the utterance: return the embeddings that waited for more, (n, embed).

        Raises:
            SpeechTooLong: as `push`.
        """
        remaining = encoder_frame_count(len(self._features))
        if remaining:
            self.encoder.check_room(self.heard_frames + remaining)
            _encode([self], remaining)
        if len(self._frames):
            self._frames = F.pad(self._frames, (0, 0, 0, self.encoder.adapter.kernel - 1))
        embeddings = self.embeddings()
        self._frames = self._frames[:0]
        return embeddings

    def hear(self, samples: Tensor) -> int:
        """Take (S,) samples in; return how many encoder frames are ready, in whole chunks.

        Raises:
            SpeechTooLong: they run past the position table.
        """
        features = self._fbank.push(samples.to(self._features.device))
        self._features = torch.cat([self._features, features])
        chunk = self.encoder.config.chunk_frames
        ready = encoder_frame_count(len(self._features)) // chunk * chunk
        self.encoder.check_room(self.heard_frames + ready)
        return ready

    def features(self, frame_count: int) -> Tensor:
        """Features that the next encoder frames see, (n, mel_bins)."""
        return self._features[: SUBSAMPLING * (frame_count - 1) + SUBSAMPLING_SPAN]

    def add_frames(self, frames: Tensor) -> None:
        """Take the next encoder frames (n, hidden) and let go of the features that only they saw."""
        self._frames = torch.cat([self._frames, frames])
        self._features = self._features[SUBSAMPLING * len(frames) :].clone()
        self.heard_frames += len(frames)
        if self.encoder.turn_end is not None:
            logits, self._turn_state = self.encoder.turn_end(frames[None], self._turn_state)
            self.finished = logits[0, -1].sigmoid().item()

    def embeddings(self) -> Tensor:
        """Turn the frames that suffice into embeddings (n, embed), and keep those that the next one sees."""
        count = max(0, (len(self._frames) - self.encoder.adapter.kernel) // ADAPTER_STRIDE + 1)
        if count == 0:
            return self._frames.new_zeros((0, self.encoder.config.embed))
        embeddings = self.encoder.adapter(self._frames[None])[0]
        self._frames = self._frames[ADAPTER_STRIDE * count :].clone()
        return embeddings


@torch.inference_mode()
def push_together(streams: Sequence[SpeechEncoderStream], sounds: Sequence[Tensor]) -> list[Tensor | SpeechTooLong]:
    """Let each utterance hear its samples (S,), in as few passes as can be; all share one encoder.

    Returns:
        For each, its embeddings that became final, (n, embed), or why it must end; the others are not touched by that.
    """
    replies: list[Tensor | SpeechTooLong | None] = [None] * len(streams)
    alike: dict[int, list[SpeechEncoderStream]] = defaultdict(list)
    for i, (stream, samples) in enumerate(zip(streams, sounds, strict=True)):
        try:
            alike[stream.hear(samples)].append(stream)
        except SpeechTooLong as error:
            replies[i] = error
    for frame_count, group in alike.items():
        if frame_count:
            _encode(group, frame_count)
    return [stream.embeddings() if reply is None else reply for stream, reply in zip(streams, replies, strict=True)]


class _SharedMemory:
    """One layer's memory of several utterances, each put behind padding where it is shorter than the longest."""

    def __init__(self, memories: list[KeyMemory]) -> None:
        self._memories = memories

    def extend(self, keys: Tensor, biases: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Join each utterance's own; (B, H, T, …) → (B, H, K, …)."""
        rows = zip(self._memories, keys.split(1), biases.split(1), values.split(1), strict=True)
        joined = [memory.extend(*row) for memory, *row in rows]
        longest = max(row[0].shape[2] for row in joined)
        all_keys, all_biases, all_values = zip(*joined, strict=True)
        return (
            torch.cat([F.pad(x, (0, 0, longest - x.shape[2], 0)) for x in all_keys]),
            torch.cat([F.pad(x, (longest - x.shape[2], 0)) for x in all_biases]),
            torch.cat([F.pad(x, (0, 0, longest - x.shape[2], 0)) for x in all_values]),
        )


def _encode(streams: Sequence[SpeechEncoderStream], frame_count: int) -> None:
    """Take so many encoder frames of each utterance through the blocks."""
    encoder = streams[0].encoder
    config = encoder.config
    x = encoder.embed_features(torch.stack([stream.features(frame_count) for stream in streams]))
    starts = torch.tensor([stream.heard_frames for stream in streams])[:, None]
    frames = starts + torch.arange(frame_count)
    remembered = min(int(starts.max()), config.left_chunks * config.chunk_frames)
    keys = starts + torch.arange(-remembered, frame_count)  # below 0: the padding of a shorter utterance
    mask = chunk_mask(frames, keys, config.chunk_frames, config.left_chunks) & (keys >= 0)[:, None]
    places, mask = encoder.places[frames.to(x.device)], mask.to(x.device)
    for layer, block in enumerate(encoder.blocks):
        x = block(x, places, mask, _SharedMemory([stream.memories[layer] for stream in streams]))
    for stream, row in zip(streams, encoder.after_norm(x), strict=True):
        stream.add_frames(row)
