"""The speech encoder on sound as it comes: embeddings of one utterance, each as soon as it is final.

Whole chunks (160 ms) go through the blocks; each block remembers the keys of 16 chunks. An embedding waits for the four
frames after its first, and a chunk for 65 ms of look-ahead in the subsampling. What comes out equals one pass over the
whole utterance in mode `stream`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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


class SpeechEncoderStream:
    """One utterance being heard."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        """Start an utterance; the encoder must be in evaluation mode and may be shared by many utterances."""
        config = encoder.config
        self._encoder = encoder
        self._chunk_frames = config.chunk_frames
        self._left_frames = config.left_chunks * config.chunk_frames
        self._fbank = FbankStream()
        self._features = encoder.mean.new_zeros((0, config.mel_bins))  # from the first that the next frame sees
        self._memories = [KeyMemory(self._left_frames) for _ in range(config.layers)]
        self._frames = encoder.mean.new_zeros((0, config.hidden))  # from the first that the next embedding sees
        self._heard_frames = 0

    @property
    def heard_frames(self) -> int:
        """Encoder frames (40 ms) encoded so far."""
        return self._heard_frames

    @torch.inference_mode()
    def push(self, samples: Tensor) -> Tensor:
        """Hear (S,) float32 samples in [-1, 1] at 16 kHz; return the embeddings that became final, (n, embed).

        Raises:
            SpeechTooLong: the utterance runs past the position table; what was final before stays valid.
        """
        self._hear(samples)
        chunks = encoder_frame_count(len(self._features)) // self._chunk_frames
        self._encode(chunks * self._chunk_frames)
        return self._adapt()

    @torch.inference_mode()
    def finish(self) -> Tensor:
        """End the utterance: return the embeddings that waited for more, (n, embed)."""
        self._encode(encoder_frame_count(len(self._features)))
        if len(self._frames):
            self._frames = F.pad(self._frames, (0, 0, 0, self._encoder.adapter.kernel - 1))
        embeddings = self._adapt()
        self._frames = self._frames[:0]
        return embeddings

    def _hear(self, samples: Tensor) -> None:
        features = self._fbank.push(samples.to(self._features.device))
        self._features = torch.cat([self._features, features.to(self._features.dtype)])

    def _encode(self, count: int) -> None:
        """Take `count` encoder frames from the features through the blocks."""
        if count == 0:
            return
        span = SUBSAMPLING * (count - 1) + SUBSAMPLING_SPAN
        x = self._encoder.embed_features(
            self._features[None, :span], frame_count=count, heard_frames=self._heard_frames
        )
        start, end = self._heard_frames, self._heard_frames + count
        keys = torch.arange(max(0, start - self._left_frames), end)
        mask = chunk_mask(keys[-count:], keys, self._chunk_frames, self._encoder.config.left_chunks)[None].to(x.device)
        for block, memory in zip(self._encoder.blocks, self._memories, strict=True):
            x = block(x, self._encoder.places[start:end], mask, memory)
        self._frames = torch.cat([self._frames, self._encoder.after_norm(x)[0]])
        self._features = self._features[SUBSAMPLING * count :].clone()
        self._heard_frames = end

    def _adapt(self) -> Tensor:
        """Turn the frames that suffice into embeddings, and keep those that the next one sees."""
        count = max(0, (len(self._frames) - self._encoder.adapter.kernel) // ADAPTER_STRIDE + 1)
        if count == 0:
            return self._frames.new_zeros((0, self._encoder.config.embed))
        embeddings = self._encoder.adapter(self._frames[None])[0]
        self._frames = self._frames[ADAPTER_STRIDE * count :].clone()
        return embeddings
