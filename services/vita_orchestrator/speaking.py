"""Speaking: clauses to codec tokens to sound, stage by stage, each working ahead of the next by a little.

    clauses ──▶ voice ──▶ windows ──▶ decode ──▶ sounds

The codes of the next clause are made while the sound of this one is decoded; order is kept. A lost component is asked
again for the same clause (same seed, same codes) or the same window, and what was had before is skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from vita_orchestrator.channel import Channel
from vita_orchestrator.components import CodecDecoder, Codes, SpeechDecoder
from vita_orchestrator.measures import stage
from vita_orchestrator.patience import Patience
from vita_orchestrator.speakable import Clause
from vita_orchestrator.spoken_form import spoken_form
from vita_orchestrator.windows import Window, Windows

CODE_MS = 25  # 600 samples at 24 kHz
BYTES_PER_MS = 48  # 24 kHz, 16 bit
MAX_SEED = 2**31 - 1

CLAUSE_BOUND = 64  # a longest answer's: words never wait for sound
WINDOW_BOUND = 2  # one is decoded, one waits, so the decoder never does; more would only be wasted by an interruption
SOUND_BOUND = 2  # likewise


@dataclass(frozen=True, slots=True)
class ClauseWindow:
    """A window of a clause; without one the clause is over."""

    clause: Clause
    window: Window | None


@dataclass(frozen=True, slots=True)
class ClauseSound:
    """Sound of a clause; empty and last where it is over."""

    clause: Clause
    samples: bytes  # PCM 16-bit, 24 kHz
    is_last: bool


async def voice(
    clauses: Channel[Clause],
    windows: Channel[ClauseWindow],
    decoder: SpeechDecoder,
    *,
    context_codes: int,
    seed: int,
    patience: Patience,
    on_codes: Callable[[int], None],
) -> None:
    """Turn clauses into windows of codec tokens; `on_codes` hears how many came."""
    index = 0
    async for clause in clauses:
        words = spoken_form(clause.text)
        cutter = Windows(context_codes, is_first_clause=index == 0)
        if words:
            ask = partial(_ask, decoder, words, (seed + index) & MAX_SEED)
            with stage("speech_decoder"):
                async with aclosing(patience.stream("speech_decoder", ask, _code_count)) as chunks:
                    async for chunk, skipped in chunks:
                        on_codes(len(chunk.codes) - skipped)
                        await _put(windows, clause, cutter.feed(chunk.codes[skipped:], is_last=chunk.is_last))
        await _put(windows, clause, cutter.feed((), is_last=True))
        await windows.put(ClauseWindow(clause, None))
        index += 1
    await windows.close()


async def decode(
    windows: Channel[ClauseWindow], sounds: Channel[ClauseSound], decoder: CodecDecoder, *, patience: Patience
) -> None:
    """Turn windows into sound."""
    async for piece in windows:
        window = piece.window
        if window is None:
            await sounds.put(ClauseSound(piece.clause, b"", is_last=True))
            continue
        ask = partial(decoder.decode, window.codes, keep_from=window.keep_from, keep_count=window.keep_count)
        with stage("codec_decoder"):
            samples = await patience.call("codec_decoder", ask)
        await sounds.put(ClauseSound(piece.clause, samples, is_last=False))
    await sounds.close()


async def _put(windows: Channel[ClauseWindow], clause: Clause, cut: Iterator[Window]) -> None:
    for window in cut:
        await windows.put(ClauseWindow(clause, window))


def _ask(decoder: SpeechDecoder, words: str, seed: int) -> AsyncIterator[Codes]:
    return decoder.speak(words, seed=seed)


def _code_count(chunk: Codes) -> int:
    return len(chunk.codes)
