"""Decoding of what clients send, off the event loop, a bounded number at a time.

A large picture takes a tenth of a second to decode; on the event loop everybody's sound would wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from vita.media.v1 import media_pb2
from vita_runtime.errors import AtCapacity, BadInput, BadMedia

from vita_gateway.media.audio import clip, decode_recording
from vita_gateway.media.encoded import decode_base64, decode_data_url
from vita_gateway.media.live_audio import AudioFormat, decode_clip
from vita_gateway.media.picture import check_picture

T = TypeVar("T")

THREADS = 2  # Pillow and soxr release the interpreter lock; more threads than this would starve the event loop
QUEUE = 64  # a quarter of a minute of work for the threads at worst; then clients are told to come back
DETAILS = {
    "low": media_pb2.IMAGE_DETAIL_LOW,
    "high": media_pb2.IMAGE_DETAIL_HIGH,
    "original": media_pb2.IMAGE_DETAIL_HIGH,
    "auto": media_pb2.IMAGE_DETAIL_UNSPECIFIED,
}


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """The most that one item may hold."""

    max_audio_s: float
    max_image_bytes: int
    max_image_pixels: int
    max_text_bytes: int
    max_body_bytes: int


class MediaDecoder:
    """Turns media in a client's encoding into messages of the wire, in threads of its own."""

    def __init__(self, limits: MediaLimits) -> None:
        self.limits = limits
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="media")
        self._queued_count = 0

    def close(self) -> None:
        """Let the threads end; what is queued is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread.

        Raises:
            AtCapacity: too much is waiting.
        """
        if self._queued_count >= QUEUE:
            raise AtCapacity("too many pictures and sounds are being decoded", retry_after_ms="1000")
        self._queued_count += 1
        loop = asyncio.get_running_loop()
        future = self._threads.submit(work)
        # Counted until the thread is done with it, also when the client that asked for it has gone.
        future.add_done_callback(lambda done: self._count_down(loop, done))
        return await asyncio.wrap_future(future)

    async def picture(self, field: str, url: str, detail: str = "auto") -> media_pb2.ImageFrame:
        """Return the picture of a data: URL, checked.

        Raises:
            BadInput: not a data: URL, too large, or an unknown detail.
            BadMedia: it cannot be decoded.
        """
        if detail not in DETAILS:
            raise BadInput(f"{field}.detail", "must be low, high or auto", value=detail)
        limits = self.limits

        def decode() -> media_pb2.ImageFrame:
            content = decode_data_url(field, url, limits.max_image_bytes)
            encoding = check_picture(field, content, limits.max_image_pixels)
            return media_pb2.ImageFrame(content=content, encoding=encoding, detail=DETAILS[detail])

        return await self.run(decode)

    async def frame(self, field: str, base64_text: str) -> media_pb2.ImageFrame:
        """Return a camera frame, base64 of a JPEG or PNG, checked."""
        return await self.picture(field, f"data:image/*;base64,{base64_text}", "low")

    async def recording(self, field: str, base64_text: str) -> media_pb2.AudioClip:
        """Return the sound of a recorded file in base64.

        Raises:
            BadInput: not base64.
            BadMedia: it cannot be decoded, is empty or too long.
        """
        limits = self.limits
        return await self.run(
            lambda: decode_recording(
                field, decode_base64(field, base64_text, limits.max_body_bytes), limits.max_audio_s
            )
        )

    async def clip(self, field: str, base64_text: str, audio_format: AudioFormat) -> media_pb2.AudioClip:
        """Return a whole sound in a Realtime format.

        Raises:
            BadInput: not base64, or not whole samples.
            BadMedia: empty or too long.
        """
        return await self.run(lambda: self._decode_clip(field, base64_text, audio_format))

    def text(self, field: str, text: str) -> str:
        """Return `text`, or raise BadInput when it is too long."""
        # len() first: most texts are far from the limit, and encoding a long one only to refuse it is a waste.
        if len(text) * 4 > self.limits.max_text_bytes:
            size = len(text) if len(text) > self.limits.max_text_bytes else len(text.encode("utf-8", "replace"))
            if size > self.limits.max_text_bytes:
                raise BadInput(
                    field, "text is too long", value=f"{size} bytes", limit=f"{self.limits.max_text_bytes} bytes"
                )
        return text

    def _decode_clip(self, field: str, base64_text: str, audio_format: AudioFormat) -> media_pb2.AudioClip:
        content = decode_base64(field, base64_text, self.limits.max_body_bytes)
        length_s = len(content) / audio_format.sample_bytes / audio_format.rate_hz
        if length_s > self.limits.max_audio_s:
            raise BadMedia(
                field, "sound is too long", value=f"{length_s:.1f} s", limit=f"{self.limits.max_audio_s:g} s"
            )
        if not content:
            raise BadMedia(field, "sound is empty", value="0 samples", limit="at least 1")
        return clip(decode_clip(audio_format, content))

    def _count_down(self, loop: asyncio.AbstractEventLoop, _: Future[T]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._queued_count -= 1
