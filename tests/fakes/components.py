"""The five components without a model: deterministic, on the event loop's clock, and able to fail on cue.

Sound, pictures and codes are functions of what came in, so that a replay gives the same and a test can tell whose
words it hears. A stream works at its own pace whether or not it is read, as a real engine does, until it is left.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from vita_orchestrator.components import Codes, Components, Embeddings, TurnEnd, Utterance
from vita_runtime.errors import BadMedia, OutOfOrder

from tests.fakes.faults import Bench, paced
from tests.fakes.llm import Answer, FakeLlm

EMBEDDING_WIDTH = 4
BYTES_PER_ROW = EMBEDDING_WIDTH * 2
SAMPLES_PER_EMBEDDING = 1280  # 80 ms at 16 kHz: 12.5 a second
EMBEDDINGS_PER_CHUNK = 2  # 160 ms
SAMPLES_PER_CODE = 600
CHUNK_CODES = (10, 20, 40)
BYTES_PER_MS = 32
LOOK_AHEAD_MS = 45


def digest(content: bytes, size: int) -> bytes:
    """Bytes that depend on all of `content`."""
    return hashlib.blake2b(content, digest_size=size).digest()


@dataclass(slots=True)
class FakeVisionEncoder:
    """`tile_count` tiles a picture (and a thumbnail if more than one); b"bad…" is no picture."""

    bench: Bench = field(default_factory=Bench)
    tile_count: int = 1
    tile_s: float = 0.01
    tokens_per_tile: int = 16

    async def encode(self, picture: bytes, *, max_tile_count: int) -> AsyncGenerator[Embeddings]:
        if picture.startswith(b"bad") or not picture:
            raise BadMedia("image.content", "is no picture")
        call = self.bench.begin("vision_encoder", "encode")
        tiles = min(self.tile_count, max_tile_count)
        count = tiles + (tiles > 1)

        async def produce(queue: asyncio.Queue[Embeddings | None]) -> None:
            for tile in range(count):
                await self.bench.spoil("vision_encoder", "encode", call, tile)
                await asyncio.sleep(self.tile_s)
                self.bench.did("vision_encoder", "encode", call)
                rows = digest(picture + bytes([tile]), BYTES_PER_ROW) * self.tokens_per_tile
                queue.put_nowait(Embeddings(rows, self.tokens_per_tile, EMBEDDING_WIDTH, tile, count))

        async with aclosing(paced(produce)) as tiles_out:
            async for embeddings in tiles_out:
                yield embeddings


class FakeUtterance:
    """One utterance: an embedding for each 80 ms, given 160 ms at a time, once the 45 ms behind them are there."""

    def __init__(
        self, bench: Bench, call: int, chunk_s: float, finished: Callable[[bytes], float] | None = None
    ) -> None:
        self._bench, self._call, self._chunk_s = bench, call, chunk_s
        self._finished = finished
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._held = b""
        self._pushes = 0
        self._is_finished = False
        self.sample_count = 0

    async def push(self, samples: bytes) -> None:
        if self._is_finished:
            raise OutOfOrder("push after finish")
        await self._bench.spoil("speech_encoder", "push", self._call, self._pushes)
        self._pushes += 1
        self.sample_count += len(samples) // 2
        self._held += samples
        size = SAMPLES_PER_EMBEDDING * EMBEDDINGS_PER_CHUNK * 2
        while len(self._held) >= size + LOOK_AHEAD_MS * BYTES_PER_MS:
            self._chunks.put_nowait(self._held[:size])
            self._held = self._held[size:]

    async def finish(self) -> None:
        await self._bench.spoil("speech_encoder", "finish", self._call)
        self._is_finished = True
        if self._held:
            self._chunks.put_nowait(self._held)
        self._chunks.put_nowait(None)

    async def embeddings(self) -> AsyncGenerator[Embeddings]:
        outputs, heard = 0, b""
        while (chunk := await self._chunks.get()) is not None:
            heard += chunk
            await self._bench.spoil("speech_encoder", "embeddings", self._call, outputs)
            await asyncio.sleep(self._chunk_s)
            self._bench.did("speech_encoder", "embeddings", self._call)
            size = SAMPLES_PER_EMBEDDING * 2
            rows = [digest(chunk[at : at + size], BYTES_PER_ROW) for at in range(0, len(chunk), size)]
            turn_end = TurnEnd(self._finished(heard), len(heard) // BYTES_PER_MS) if self._finished else None
            yield Embeddings(b"".join(rows), len(rows), EMBEDDING_WIDTH, turn_end=turn_end)
            outputs += 1


@dataclass(slots=True)
class FakeSpeechEncoder:
    """Utterances; `utterances` keeps all that were ever opened."""

    bench: Bench = field(default_factory=Bench)
    chunk_s: float = 0.005
    finished: Callable[[bytes], float] | None = None  # the sound so far to the probability that it is a sentence
    utterances: list[FakeUtterance] = field(default_factory=list[FakeUtterance])

    @asynccontextmanager
    async def utterance(self) -> AsyncGenerator[Utterance]:
        call = self.bench.begin("speech_encoder", "utterance")
        await self.bench.spoil("speech_encoder", "utterance", call)
        self.utterances.append(FakeUtterance(self.bench, call, self.chunk_s, self.finished))
        self.bench.live += 1
        try:
            yield self.utterances[-1]
        finally:
            self.bench.live -= 1


@dataclass(slots=True)
class FakeSpeechDecoder:
    """`codes_per_character` codes for each character of the clause; `clauses` keeps what was spoken."""

    bench: Bench = field(default_factory=Bench)
    codes_per_character: int = 3  # 75 ms: about as people speak
    first_s: float = 0.02
    code_s: float = 0.002
    clauses: list[str] = field(default_factory=list[str])

    def codes(self, clause: str, seed: int) -> tuple[int, ...]:
        """All codes of a clause."""
        count = self.codes_per_character * len(clause)
        return tuple(int.from_bytes(digest(f"{seed}:{clause}:{i}".encode(), 2)) % 1024 for i in range(count))

    async def speak(self, clause: str, *, seed: int) -> AsyncGenerator[Codes]:
        call = self.bench.begin("speech_decoder", "speak")
        self.clauses.append(clause)
        codes = self.codes(clause, seed)

        async def produce(queue: asyncio.Queue[Codes | None]) -> None:
            await self.bench.spoil("speech_decoder", "speak", call)
            await asyncio.sleep(self.first_s)
            at = outputs = 0
            while at < len(codes):
                size = CHUNK_CODES[min(outputs, len(CHUNK_CODES) - 1)]
                chunk = codes[at : at + size]
                await asyncio.sleep(self.code_s * len(chunk))
                self.bench.did("speech_decoder", "speak", call)
                queue.put_nowait(Codes(chunk, is_last=False))
                at += size
                outputs += 1
                await self.bench.spoil("speech_decoder", "speak", call, outputs)
            queue.put_nowait(Codes((), is_last=True))

        self.bench.live += 1
        try:
            async with aclosing(paced(produce)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self.bench.live -= 1


@dataclass(slots=True)
class FakeCodecDecoder:
    """Each code is 600 equal samples, so that `codes_of` can read the codes back out of a sound."""

    bench: Bench = field(default_factory=Bench)
    window_s: float = 0.005
    context_codes: int = 10

    async def decode(self, codes: tuple[int, ...], *, keep_from: int, keep_count: int) -> bytes:
        call = self.bench.begin("codec_decoder", "decode")
        assert 0 <= keep_from <= keep_from + keep_count <= len(codes), "the window does not hold what is kept"
        await self.bench.spoil("codec_decoder", "decode", call)
        await asyncio.sleep(self.window_s)
        self.bench.did("codec_decoder", "decode", call)
        return sound_of(codes[keep_from : keep_from + keep_count])


def sound_of(codes: tuple[int, ...]) -> bytes:
    """The fake codec's sound: PCM 16-bit, 600 samples a code."""
    return b"".join((code * 16 - 8192).to_bytes(2, "little", signed=True) * SAMPLES_PER_CODE for code in codes)


def codes_of(sound: bytes) -> tuple[int, ...]:
    """The codes a fake sound was made of."""
    starts = range(0, len(sound), SAMPLES_PER_CODE * 2)
    return tuple((int.from_bytes(sound[at : at + 2], "little", signed=True) + 8192) // 16 for at in starts)


@dataclass(slots=True)
class FakeComponents:
    """All five on one bench; `components` is what a conversation takes."""

    llm: FakeLlm
    bench: Bench
    vision_encoder: FakeVisionEncoder
    speech_encoder: FakeSpeechEncoder
    speech_decoder: FakeSpeechDecoder
    codec_decoder: FakeCodecDecoder
    unready: set[str] = field(default_factory=set[str])  # components whose endpoints' health says that they are lost

    @classmethod
    def answering(cls, *answers: Answer | str, **llm_settings: float) -> FakeComponents:
        """Fakes whose language model gives these answers, one a query, the last one for ever."""
        bench = Bench()
        llm = FakeLlm.answering(bench, *answers, **llm_settings)
        return cls(
            llm,
            bench,
            FakeVisionEncoder(bench),
            FakeSpeechEncoder(bench),
            FakeSpeechDecoder(bench),
            FakeCodecDecoder(bench),
        )

    @property
    def components(self) -> Components:
        return Components(self.vision_encoder, self.speech_encoder, self.llm, self.speech_decoder, self.codec_decoder)
