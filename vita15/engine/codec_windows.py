"""Codec tokens to sound, a window at a time; windows of one length are decoded together.

The codec is not causal: a window brings neighbours of the codes that are wanted, and the sound of those is cut off
(docs/model.md, 4.6). Which neighbours is the caller's choice; `CodecConfig.context_codes` either side equals decoding
the whole clause at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vita15.checkpoint import load_into, load_manifest
from vita15.codec import CodecDecoder
from vita15.config import SAMPLES_PER_CODE, CodecConfig
from vita15.engine.errors import BadRequest
from vita15.errors import CheckpointError

MAX_CODES = 1200  # of one window: a whole clause and its context


@dataclass(frozen=True, slots=True)
class Window:
    """Codes to decode together, and which of them are wanted."""

    codes: NDArray[np.int32]  # (T,)
    keep_from: int
    keep_count: int


class CodecWindows:
    """Decodes windows."""

    def __init__(self, decoder: CodecDecoder) -> None:
        self._decoder = decoder.eval()

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> CodecWindows:
        """Load a checkpoint."""
        config = load_manifest(folder).component_config()
        if not isinstance(config, CodecConfig):
            raise CheckpointError(f"{folder}: not a codec decoder")
        windows = cls(load_into(CodecDecoder(config), folder).to(device))
        windows.decode([Window(np.zeros(2 * config.context_codes, dtype=np.int32), 0, 1)])  # first runs are slow
        return windows

    def decode(self, windows: Sequence[Window]) -> list[NDArray[np.int16] | BadRequest]:
        """Decode windows, those of one length together.

        Returns:
            For each its sound, (keep_count × 600,) at 24 kHz, or what is wrong with it.
        """
        results: list[NDArray[np.int16] | BadRequest] = [BadRequest("not decoded")] * len(windows)
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        for index, window in enumerate(windows):
            problem = self._problem(window)
            if problem:
                results[index] = BadRequest(problem)
            else:
                by_length[len(window.codes)].append(index)
        for indices in by_length.values():
            sounds = self._decode_together([windows[index] for index in indices])
            for index, sound in zip(indices, sounds, strict=True):
                results[index] = _kept(windows[index], sound)
        return results

    def _decode_together(self, windows: list[Window]) -> Tensor:
        codes = torch.from_numpy(np.stack([window.codes for window in windows]).astype(np.int64))
        with torch.inference_mode():
            return self._decoder(codes.to(self._decoder.embedding.weight.device)).cpu()

    def _problem(self, window: Window) -> str:
        count, size = len(window.codes), self._decoder.size
        if not 0 < count <= MAX_CODES:
            return f"codes: {count} of them; 1 to {MAX_CODES} are decoded at once"
        if window.codes.min() < 0 or window.codes.max() >= size:
            return f"codes: {int(window.codes.min())} to {int(window.codes.max())} are outside the codebook of {size}"
        if window.keep_from < 0 or window.keep_count < 0 or window.keep_from + window.keep_count > count:
            return f"keep: {window.keep_count} codes from {window.keep_from} are not within {count}"
        return ""


def _kept(window: Window, sound: Tensor) -> NDArray[np.int16]:
    start = window.keep_from * SAMPLES_PER_CODE
    kept = sound[start : start + window.keep_count * SAMPLES_PER_CODE]
    return (kept.clamp(-1.0, 1.0) * 32767).round().to(torch.int16).numpy()
