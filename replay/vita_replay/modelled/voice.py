"""Modelled speech decoder and codec: codes that are a function of clause and seed, sound that is one of the codes."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from vita_components.tensors import Tensor, integer_tensor

from vita_replay.behaviour import Asked, Call, Refused, Send
from vita_replay.kserve import reply_to
from vita_replay.modelled.costs import Cost
from vita_replay.pace import Meter, Pace, Schedule

CHUNK_CODES = (10, 20, 40)  # sizes of the first chunks; the last repeats
SAMPLES_PER_CODE = 600
CODEBOOK = 1024
MAX_CODES = 1200  # of a window


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """How much is spoken."""

    codes_per_character: float = 3.0  # 75 ms: about as people speak


def codes_of(clause: str, seed: int, count: int) -> tuple[int, ...]:
    """Codes of a clause."""
    digest = hashlib.shake_128(f"{seed}:{clause}".encode()).digest(2 * count)
    return tuple(code % CODEBOOK for code in struct.unpack(f"<{count}H", digest))


def sound_of(codes: Sequence[int]) -> bytes:
    """Sound of codes: 600 equal samples each, so that the codes can be read back out of it."""
    return b"".join((code * 16 - 8192).to_bytes(2, "little", signed=True) * SAMPLES_PER_CODE for code in codes)


class SpeechDecoder:
    """Answers clauses."""

    def __init__(self, pace: Pace, cost: Cost | None = None, settings: VoiceSettings | None = None) -> None:
        self.pace, self.cost, self.settings = pace, cost or Cost(), settings or VoiceSettings()
        self.work = self.active = 0

    def call(self, send: Send) -> Call:
        return _Clause(self, send)


class _Clause(Call):
    def __init__(self, decoder: SpeechDecoder, send: Send) -> None:
        self._decoder, self._send = decoder, send

    async def take(self, asked: Asked) -> None:
        decoder, clause = self._decoder, asked.text("TEXT")
        count = max(1, round(decoder.settings.codes_per_character * len(clause)))
        codes = codes_of(clause, asked.integer("seed"), count)
        cost, schedule = decoder.cost, Schedule(decoder.pace)
        schedule.begin()
        decoder.active += 1
        try:
            at, start_s = 0, cost.fixed_s
            for index in range(count):
                chunk = codes[at : at + CHUNK_CODES[min(index, len(CHUNK_CODES) - 1)]]
                per_code_s = cost.per_token_s + cost.per_batch_s * (decoder.active - 1)
                await schedule.pay(start_s + per_code_s * len(chunk))
                at, start_s = at + len(chunk), 0.0
                decoder.work += len(chunk)
                end = [integer_tensor("END", [1])] if at == count else []
                await self._send(reply_to(asked, integer_tensor("CODES", chunk), *end))
                if end:
                    return
        finally:
            decoder.active -= 1


class CodecDecoder:
    """Answers windows."""

    def __init__(self, pace: Pace, cost: Cost | None = None) -> None:
        self.cost = cost or Cost()
        self.meter = Meter(pace)
        self.work = self.active = 0

    def call(self, send: Send) -> Call:
        return _Window(self, send)


class _Window(Call):
    def __init__(self, decoder: CodecDecoder, send: Send) -> None:
        self._decoder, self._send = decoder, send

    async def take(self, asked: Asked) -> None:
        decoder, codes = self._decoder, asked.integers("CODES")
        keep_from, keep_count = asked.scalar("KEEP_FROM"), asked.scalar("KEEP_COUNT")
        if not 0 < len(codes) <= MAX_CODES or not all(0 <= code < CODEBOOK for code in codes):
            raise Refused("BAD_INPUT", f"codes: {len(codes)} of them, or some outside the codebook of {CODEBOOK}")
        if keep_from < 0 or keep_count < 0 or keep_from + keep_count > len(codes):
            raise Refused("BAD_INPUT", f"keep: {keep_count} codes from {keep_from} are not within {len(codes)}")
        decoder.active += 1
        try:
            await decoder.meter.pay(decoder.cost.of(keep_count, decoder.active - 1))
        finally:
            decoder.active -= 1
        decoder.work += keep_count
        sound = sound_of(codes[keep_from : keep_from + keep_count])
        await self._send(reply_to(asked, Tensor("SOUND", "INT16", (len(sound) // 2,), sound)))
