"""The five modelled components called in process: same costs, same words, same sound, and nothing in between.

What the orchestrator costs as a set of services is measured against this: `vita_components` over gRPC to servers in
another process does the same as these do, and the sound must be the same to the sample.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from vita_components.codec_decoder import CONTEXT_CODES
from vita_components.connect import ConnectedComponents
from vita_orchestrator.components import (
    Codes,
    Context,
    Embeddings,
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    Judgement,
    QueryState,
    Sampling,
    TextPiece,
    ToolCall,
    Utterance,
)
from vita_replay.modelled.context import Context as Read
from vita_replay.modelled.context import tokens_of
from vita_replay.modelled.costs import Cost, Costs
from vita_replay.modelled.llm import PIECE_S, PIECE_TOKENS, STATES, LlmSettings, judge
from vita_replay.modelled.senses import (
    BYTES_PER_SAMPLE,
    MAX_TILES,
    ROWS_PER_PIECE,
    SAMPLES_PER_ROW,
    SensesSettings,
    rows_of,
)
from vita_replay.modelled.voice import CHUNK_CODES, VoiceSettings, codes_of, sound_of
from vita_replay.pace import Meter, Pace

T = TypeVar("T")
ROW_BYTES = SAMPLES_PER_ROW * BYTES_PER_SAMPLE
WIDTH = SensesSettings().width


async def ahead(source: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield what `source` gives; it works on while its reader does something else, as a server would."""
    made: asyncio.Queue[T | None] = asyncio.Queue()

    async def fill() -> None:
        try:
            async with aclosing(source):
                async for item in source:
                    made.put_nowait(item)
        finally:
            made.put_nowait(None)

    filling = asyncio.create_task(fill())
    try:
        while (item := await made.get()) is not None:
            yield item
        await filling
    finally:
        filling.cancel()


@dataclass(slots=True)
class LocalVisionEncoder:
    """VisionEncoder in process."""

    cost: Cost

    def encode(self, picture: bytes, *, max_tile_count: int) -> AsyncGenerator[Embeddings]:
        return ahead(self._encode(picture, max_tile_count))

    async def _encode(self, picture: bytes, max_tile_count: int) -> AsyncGenerator[Embeddings]:
        meter, settings = Meter(Pace()), SensesSettings()
        tiles = min(settings.tile_count, max_tile_count or MAX_TILES)
        count = tiles + (tiles > 1)
        for index in range(count):
            await meter.pay(self.cost.of(1))
            rows = rows_of(picture + bytes([index]), settings.tokens_per_tile, WIDTH)
            yield Embeddings(rows, settings.tokens_per_tile, WIDTH, index, count)


class LocalUtterance:
    """Utterance in process; a queue stands where the wire would be, so that `push` does not wait for the encoder."""

    def __init__(self, meter: Meter, cost: Cost) -> None:
        self._meter, self._cost = meter, cost
        self._held = bytearray()
        self._is_finished = False
        self._changed = asyncio.Event()

    async def push(self, samples: bytes) -> None:
        self._held += samples
        self._changed.set()

    async def finish(self) -> None:
        self._is_finished = True
        self._changed.set()

    async def embeddings(self) -> AsyncGenerator[Embeddings]:
        size = ROWS_PER_PIECE * ROW_BYTES
        while True:
            while len(self._held) >= size or (self._is_finished and self._held):
                piece = bytes(self._held[:size])
                del self._held[:size]
                rows = [rows_of(piece[at : at + ROW_BYTES], 1, WIDTH) for at in range(0, len(piece), ROW_BYTES)]
                await self._meter.pay(self._cost.of(len(rows)))
                yield Embeddings(b"".join(rows), len(rows), WIDTH)
            if self._is_finished:
                return
            await self._changed.wait()
            self._changed.clear()


@dataclass(slots=True)
class LocalSpeechEncoder:
    """SpeechEncoder in process."""

    cost: Cost
    meter: Meter

    @asynccontextmanager
    async def utterance(self) -> AsyncGenerator[Utterance]:
        yield LocalUtterance(self.meter, self.cost)


class LocalContext:
    """Context in process."""

    def __init__(self, cost: Cost, settings: LlmSettings) -> None:
        self._cost, self._settings = cost, settings
        self._read_context = Read(settings.capacity)
        self._meter = Meter(Pace())
        self._read_s = 0.0
        self._is_stopped = False

    @property
    def position(self) -> int:
        return self._read_context.position

    @property
    def capacity(self) -> int:
        return self._settings.capacity

    async def append_text(self, role: str, text: str, *, tools: str = "") -> int:
        return self._append(role, len(tokens_of(text + tools)))

    async def append_call(self, call: ToolCall) -> int:
        return self._append("assistant", len(tokens_of(call.arguments)))

    async def append_embeddings(self, role: str, embeddings: Embeddings) -> int:
        return self._append(role, embeddings.count)

    async def truncate(self, position: int) -> int:
        self._read_context.truncate(position)
        return self.position

    async def checkpoint(self) -> int:
        return self.position

    async def stop(self) -> None:
        self._is_stopped = True
        self._meter.wake()

    def generate(self, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        return ahead(self._generate(sampling))

    async def _generate(self, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        context, states = self._read_context, [str(state) for state in sampling.states]
        self._is_stopped = False
        if states or context.role != "assistant":
            self._append("assistant", 0)
        await self._meter.pay(max(0.0, self._read_s - time.monotonic()))
        await self._meter.pay(self._cost.of())
        state, scores = judge(self._settings.scores, states, sampling.noise_threshold)
        speech, text, noise = (scores[STATES.index(name)] for name in STATES)
        yield Judgement(QueryState(state), speech, text, noise)
        answers = self._settings.answers
        words = tokens_of(answers[max(0, context.query_count - 1) % len(answers)])
        words, count = words[context.position - context.turns[-1].content :], 0
        while count < len(words) and not self._is_stopped:
            piece = words[count : count + (self._piece_tokens() if count else 1)]
            if count:
                await self._meter.pay(self._cost.of() * len(piece))
            count += len(piece)
            context.position += len(piece)
            yield TextPiece("".join(piece), len(piece), context.position)
        reason = FinishReason.STOP if count == len(words) else FinishReason.CANCELLED
        yield GenerationEnd(reason, context.position, count)

    def _append(self, role: str, count: int) -> int:
        context = self._read_context
        context.append(role, count)
        self._read_s = max(self._read_s, time.monotonic()) + self._cost.per_token_s * context.unread
        context.unread = 0
        return context.position

    def _piece_tokens(self) -> int:
        step_s = self._cost.of()
        return PIECE_TOKENS if not step_s else max(1, min(PIECE_TOKENS, math.floor(PIECE_S / step_s)))


@dataclass(slots=True)
class LocalLlm:
    """Llm in process."""

    cost: Cost
    settings: LlmSettings

    @asynccontextmanager
    async def context(self, session_id: str) -> AsyncGenerator[Context]:
        yield LocalContext(self.cost, self.settings)


@dataclass(slots=True)
class LocalSpeechDecoder:
    """SpeechDecoder in process."""

    cost: Cost

    def speak(self, clause: str, *, seed: int) -> AsyncGenerator[Codes]:
        return ahead(self._speak(clause, seed))

    async def _speak(self, clause: str, seed: int) -> AsyncGenerator[Codes]:
        count = max(1, round(VoiceSettings().codes_per_character * len(clause)))
        codes, meter = codes_of(clause, seed, count), Meter(Pace())
        at, start_s = 0, self.cost.fixed_s
        for index in range(count):
            chunk = codes[at : at + CHUNK_CODES[min(index, len(CHUNK_CODES) - 1)]]
            await meter.pay(start_s + self.cost.per_token_s * len(chunk))
            at, start_s = at + len(chunk), 0.0
            yield Codes(chunk, is_last=at == count)
            if at == count:
                return


@dataclass(slots=True)
class LocalCodecDecoder:
    """CodecDecoder in process."""

    cost: Cost
    meter: Meter
    context_codes: int = CONTEXT_CODES

    async def decode(self, codes: tuple[int, ...], *, keep_from: int, keep_count: int) -> bytes:
        await self.meter.pay(self.cost.of(keep_count))
        return sound_of(codes[keep_from : keep_from + keep_count])


def connect_locally(costs: Costs, settings: LlmSettings) -> ConnectedComponents:
    """Return the five."""
    return ConnectedComponents(
        LocalVisionEncoder(costs.vision_encoder),
        LocalSpeechEncoder(costs.speech_encoder, Meter(Pace())),
        LocalLlm(costs.llm, settings),
        LocalSpeechDecoder(costs.speech_decoder),
        LocalCodecDecoder(costs.codec_decoder, Meter(Pace())),
        pools={},
    )


@asynccontextmanager
async def local_connection(
    costs: Costs, settings: LlmSettings, endpoints: Mapping[str, Sequence[str]]
) -> AsyncGenerator[ConnectedComponents]:
    """Stand in for `vita_components.connect.connect`; the addresses are not looked at."""
    yield connect_locally(costs, settings)
