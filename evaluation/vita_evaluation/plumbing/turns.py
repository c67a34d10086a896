"""Turns through an orchestrator: one question each, timed from its end to the first sound of the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from vita.media.v1.media_pb2 import AUDIO_ENCODING_PCM_S16LE, IMAGE_ENCODING_JPEG, AudioChunk, ImageFrame
from vita_runtime.errors import StartupError

BYTES_PER_S = 32_000  # 16 kHz, 16 bit
CHUNK_S = 0.08  # of microphone audio a message
TURN_DEADLINE_S = 120.0
SETTLE_S = 0.12  # after a turn: what it left behind is over before the next begins
SEED = 7

Call = grpc.aio.StreamStreamCall[wire.ConverseRequest, wire.ConverseResponse]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how."""

    seconds: float = 1.0
    speed: float = 8.0  # of the microphone: how much faster than people speak
    picture: bytes = b""
    max_tiles: int = 12
    is_whole: bool = False  # take the answer to its end, not only its first sound
    at_end: Callable[[], Awaitable[None]] | None = None  # done just before the question ends

    @property
    def samples(self) -> int:
        """Sound, in samples."""
        return int(self.seconds * BYTES_PER_S) // 2


@dataclass(slots=True)
class Turn:
    """What came of it."""

    first_audio_s: float = 0.0  # from the end of the question
    sound: bytearray = field(default_factory=bytearray)
    ended_s: float = 0.0  # by the monotonic clock


def configuration(*, is_paced: bool = False, is_heard: bool = False, max_tiles: int = 12) -> wire.SessionConfiguration:
    """Return how sessions are held: with `is_heard` the orchestrator finds the turns itself."""
    return wire.SessionConfiguration(
        modality=wire.MODALITY_AUDIO,
        turn_detection=wire.TurnDetection(is_enabled=is_heard),
        is_paced=is_paced,
        seed=SEED,
        max_tile_count=max_tiles,
    )


def audio(samples: bytes) -> wire.ConverseRequest:
    """Wrap sound."""
    return wire.ConverseRequest(
        audio=AudioChunk(samples=samples, sample_rate_hz=16_000, encoding=AUDIO_ENCODING_PCM_S16LE)
    )


@asynccontextmanager
async def session(channel: grpc.aio.Channel, how: wire.SessionConfiguration) -> AsyncGenerator[Call]:
    """Open a session for as long as the block lasts. Raises StartupError: it does not open."""
    call = cast("Call", ConversationServiceStub(channel).Converse(timeout=TURN_DEADLINE_S))
    try:
        await call.write(wire.ConverseRequest(open=wire.Open(configuration=how)))
        first = await event(call)
        if first is None or not first.HasField("opened"):
            raise StartupError("a session of the bench did not open")
        yield call
    except grpc.aio.AioRpcError as error:
        raise StartupError(f"a session of the bench failed: {error.code().name} {error.details()}") from error
    finally:
        call.cancel()


async def event(call: Call) -> wire.ConverseResponse | None:
    """Return the next event; None: there are no more."""
    message = cast("Any", await call.read())
    return message if isinstance(message, wire.ConverseResponse) else None


async def say(call: Call, samples: bytes, speed: float) -> None:
    """Send sound as a microphone does, only faster."""
    size, due_s = int(CHUNK_S * BYTES_PER_S), time.monotonic()
    for start in range(0, len(samples), size):
        due_s += CHUNK_S / speed
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await call.write(audio(samples[start : start + size]))


def sound_of(seconds: float) -> bytes:
    """Return sound that is not silence; nobody here listens to it."""
    return (b"\x10\x00\xf0\xff" * (int(seconds * BYTES_PER_S) // 4 + 1))[: int(seconds * BYTES_PER_S) // 2 * 2]


async def ask(channel: grpc.aio.Channel, question: Question) -> Turn:
    """Ask in a session of its own, and wait for the first sound. Raises StartupError: none comes."""
    turn = Turn()
    async with session(channel, configuration(max_tiles=question.max_tiles)) as call:
        if question.picture:
            image = ImageFrame(content=question.picture, encoding=IMAGE_ENCODING_JPEG)
            await call.write(wire.ConverseRequest(image=image))
        await say(call, sound_of(question.seconds), question.speed)
        if question.at_end is not None:
            await question.at_end()
        turn.ended_s = time.monotonic()
        await call.write(wire.ConverseRequest(commit_audio=wire.CommitAudio()))
        await call.write(wire.ConverseRequest(create_response=wire.CreateResponse()))
        await _take(call, turn, is_whole=question.is_whole)
    await asyncio.sleep(SETTLE_S)
    return turn


async def _take(call: Call, turn: Turn, *, is_whole: bool) -> None:
    """Take an answer, or its first sound."""
    while (response := await event(call)) is not None:
        match response.WhichOneof("event"):
            case "answer_audio":
                turn.first_audio_s = turn.first_audio_s or time.monotonic() - turn.ended_s
                turn.sound += response.answer_audio.audio.samples
                if not is_whole:
                    return
            case "failure":
                raise StartupError(f"a turn of the bench failed: {response.failure.status.message}")
            case "response_done":
                if response.response_done.outcome == wire.RESPONSE_OUTCOME_COMPLETED and turn.sound:
                    return
                raise StartupError(f"an answer of the bench failed: {response.response_done.failure.message}")
            case _:
                pass
    raise StartupError("a turn of the bench ended without sound")


def of_first_audio(turns: Sequence[Turn]) -> list[float]:
    """Return the times to first sound, in ms."""
    return [turn.first_audio_s * 1000 for turn in turns]
