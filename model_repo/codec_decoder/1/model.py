"""Codec decoder: windows of codec tokens in, 24 kHz sound out; any replica can serve any window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vita_runtime.triton_model import Request, TritonModel, Value

from vita15.engine.codec_windows import CodecWindows, Window
from vita15.engine.device import use_threads


class TritonPythonModel(TritonModel):
    def load(self) -> None:
        use_threads(int(self.parameter("threads", "1")))
        self.windows = CodecWindows.load(Path(self.parameter("weights")), self.parameter("device", "cpu"))

    def reply(self, batch: Sequence[Request]) -> list[Mapping[str, Value] | Exception]:
        windows = [Window(r.tensor("CODES"), r.scalar("KEEP_FROM"), r.scalar("KEEP_COUNT")) for r in batch]
        sounds = self.windows.decode(windows)
        return [sound if isinstance(sound, Exception) else {"SOUND": sound} for sound in sounds]
