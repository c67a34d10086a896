"""One spoken turn through the orchestrator, timed; sound goes in as a microphone gives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from vita.media.v1.media_pb2 import AUDIO_ENCODING_PCM_S16LE, IMAGE_ENCODING_PNG, AudioChunk, ImageFrame

CHUNK_MS = 100  # the wire's limit for microphone audio
BYTES_PER_MS = 32  # 16 kHz, 16 bit
ANSWER_BYTES_PER_MS = 48  # 24 kHz, 16 bit
TURN_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked."""

    samples: bytes  # PCM 16-bit, 16 kHz
    picture: bytes = b""  # PNG; sent when the speech begins
    max_tile_count: int = 12


@dataclass(slots=True)
class TimedAnswer:
    """What came back, and when, in ms from the end of the query."""

    text: str = ""
    sound: bytearray = field(default_factory=bytearray)
    first_text_ms: float = 0.0
    first_audio_ms: float = 0.0
    last_audio_ms: float = 0.0
    failure: str = ""

    @property
    def audio_ms(self) -> int:
        """Length of the answer's sound."""
        return len(self.sound) // ANSWER_BYTES_PER_MS


class _Requests:
    """The client's side of one turn; remembers when the query ended."""

    def __init__(self, query: Query, is_real_time: bool) -> None:
        self._query = query
        self._is_real_time = is_real_time
        self.ended_s = 0.0
        self.is_done = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[wire.ConverseRequest]:
        configuration = wire.SessionConfiguration(
            modality=wire.MODALITY_AUDIO,
            turn_detection=wire.TurnDetection(is_enabled=False),
            is_paced=False,
            seed=7,
            max_tile_count=self._query.max_tile_count,
        )
        yield wire.ConverseRequest(open=wire.Open(configuration=configuration, is_ephemeral=True))
        if self._query.picture:
            frame = ImageFrame(content=self._query.picture, encoding=IMAGE_ENCODING_PNG)
            yield wire.ConverseRequest(image=frame)
        due_s = time.monotonic()
        size = CHUNK_MS * BYTES_PER_MS
        for start in range(0, len(self._query.samples), size):
            if self._is_real_time:
                due_s += CHUNK_MS / 1000
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            samples = self._query.samples[start : start + size]
            chunk = AudioChunk(samples=samples, sample_rate_hz=16_000, encoding=AUDIO_ENCODING_PCM_S16LE)
            yield wire.ConverseRequest(audio=chunk)
        yield wire.ConverseRequest(commit_audio=wire.CommitAudio())
        self.ended_s = time.monotonic()
        yield wire.ConverseRequest(create_response=wire.CreateResponse())
        await self.is_done.wait()


async def ask(channel: grpc.aio.Channel, query: Query, *, is_real_time: bool = True) -> TimedAnswer:
    """Ask aloud in a session of its own and take the whole answer.

    Raises:
        grpc.aio.AioRpcError: the conversation could not be held.
    """
    requests, answer = _Requests(query, is_real_time), TimedAnswer()
    call = ConversationServiceStub(channel).Converse(aiter(requests), timeout=TURN_DEADLINE_S)
    try:
        async for response in call:
            since_ms = (time.monotonic() - requests.ended_s) * 1000
            match response.WhichOneof("event"):
                case "text_delta":
                    answer.first_text_ms = answer.first_text_ms or since_ms
                    answer.text += response.text_delta.text
                case "answer_audio":
                    answer.first_audio_ms = answer.first_audio_ms or since_ms
                    answer.last_audio_ms = since_ms
                    answer.sound += response.answer_audio.audio.samples
                case "failure":
                    answer.failure = response.failure.status.message
                case "response_done":
                    answer.failure = answer.failure or response.response_done.failure.message
                    break
                case _:
                    pass
    finally:
        requests.is_done.set()
        call.cancel()
    return answer
