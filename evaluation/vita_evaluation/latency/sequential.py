"""The same turn with its stages one after another: what streaming is measured against.

It calls the same Triton models with the same inputs as the orchestrator does, so the two differ in their order alone.
"""

from __future__ import annotations

import time
from contextlib import aclosing

from vita_orchestrator.components import Components, Context, Embeddings, Sampling, TextPiece
from vita_orchestrator.prompt import SYSTEM_PROMPT
from vita_orchestrator.speakable import ClauseCutter
from vita_orchestrator.spoken_form import spoken_form

from vita_evaluation.latency.turns import Query, TimedAnswer


async def ask_sequentially(components: Components, query: Query, session_id: str) -> TimedAnswer:
    """Take the whole query, then run one stage after another; the first sound is there when all of it is."""
    answer, started_s = TimedAnswer(), time.monotonic()
    pictures = await _see(components, query)
    speech = await _hear(components, query)
    async with components.llm.context(session_id) as context:
        await context.append_text("system", SYSTEM_PROMPT)
        for tile in pictures:
            await context.append_embeddings("user", tile)
        if pictures:
            await context.append_text("user", "\n")
        for rows in speech:
            await context.append_embeddings("user", rows)
        answer.text = await _think(context)
    answer.first_text_ms = (time.monotonic() - started_s) * 1000
    cutter = ClauseCutter()
    clauses = [*cutter.feed(answer.text), *cutter.finish()]
    spoken = [await _speak(components, spoken_form(clause.text)) for clause in clauses]
    for codes in spoken:
        if codes:
            answer.sound += await components.codec_decoder.decode(codes, keep_from=0, keep_count=len(codes))
    answer.first_audio_ms = answer.last_audio_ms = (time.monotonic() - started_s) * 1000
    return answer


async def _see(components: Components, query: Query) -> list[Embeddings]:
    if not query.picture:
        return []
    stream = components.vision_encoder.encode(query.picture, max_tile_count=query.max_tile_count)
    return [tile async for tile in stream]


async def _hear(components: Components, query: Query) -> list[Embeddings]:
    async with components.speech_encoder.utterance() as utterance:
        await utterance.push(query.samples)
        await utterance.finish()
        return [rows async for rows in utterance.embeddings()]


async def _think(context: Context) -> str:
    text = ""
    async with aclosing(context.generate(Sampling())) as events:
        async for event in events:
            if isinstance(event, TextPiece):
                text += event.text
    return text


async def _speak(components: Components, words: str) -> tuple[int, ...]:
    codes: list[int] = []
    if words:
        async for chunk in components.speech_decoder.speak(words, seed=7):
            codes.extend(chunk.codes)
    return tuple(codes)
