"""What every implementation of the five component protocols must do.

A test module gives the fixtures `components` and `picture` and inherits `ComponentLaws`. The laws hold for fakes and
for models with random weights alike: they say nothing about what is answered.
"""

from __future__ import annotations

import asyncio
import math
import random
import struct
from contextlib import aclosing
from dataclasses import replace

import pytest
from vita_orchestrator.components import (
    Components,
    Context,
    Embeddings,
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    Judgement,
    QueryState,
    Sampling,
    TextPiece,
)
from vita_runtime.errors import BadMedia, ContextFull, OutOfOrder

from tests.components.tool_laws import ToolLaws, all_of

SECOND = 32_000  # bytes of 16 kHz sound
# No noise: random weights would drop half of the queries.
ANSWERING = Sampling(max_tokens=12, states=(QueryState.SPEECH, QueryState.TEXT))
LONG = Sampling(max_tokens=200, states=ANSWERING.states)


def speech(seconds: float, seed: int = 0) -> bytes:
    """Some sound."""
    return random.Random(seed).randbytes(int(seconds * SECOND) // 2 * 2)


async def hear(components: Components, sound: bytes, chunk_bytes: int = 640) -> list[Embeddings]:
    """All embeddings of an utterance, pushed in chunks."""
    async with components.speech_encoder.utterance() as utterance:
        for at in range(0, len(sound), chunk_bytes):
            await utterance.push(sound[at : at + chunk_bytes])
        await utterance.finish()
        return [embeddings async for embeddings in utterance.embeddings()]


def rows(heard: list[Embeddings]) -> bytes:
    """The rows of many pieces end to end."""
    return b"".join(piece.rows for piece in heard)


def numbers(heard: list[Embeddings]) -> tuple[float, ...]:
    """The rows of many pieces, read; what the fakes send is no number now and then."""
    raw = rows(heard)
    return tuple(0.0 if math.isnan(x) or math.isinf(x) else x for x in struct.unpack(f"<{len(raw) // 2}e", raw))


async def written(context: Context, sampling: Sampling) -> str:
    """The words of an answer."""
    return "".join([event.text async for event in context.generate(sampling) if isinstance(event, TextPiece)])


class VisionLaws:
    """A picture to embeddings."""

    async def test_tiles_come_in_order_and_all_of_them(self, components: Components, picture: bytes) -> None:
        tiles = [tile async for tile in components.vision_encoder.encode(picture, max_tile_count=4)]
        assert [tile.tile_index for tile in tiles] == list(range(tiles[0].tile_count))
        assert all(len(tile.rows) == tile.count * tile.width * 2 for tile in tiles)

    async def test_the_same_picture_gives_the_same_embeddings(self, components: Components, picture: bytes) -> None:
        twice = [[tile async for tile in components.vision_encoder.encode(picture, max_tile_count=1)] for _ in range(2)]
        assert twice[0] == twice[1]

    async def test_what_is_no_picture_is_refused_and_the_next_picture_is_seen(
        self, components: Components, picture: bytes
    ) -> None:
        for bad in (b"bad picture", b""):
            with pytest.raises(BadMedia):
                await anext(components.vision_encoder.encode(bad, max_tile_count=1))
        assert [tile async for tile in components.vision_encoder.encode(picture, max_tile_count=1)]

    async def test_a_picture_may_be_left_after_its_first_tile(self, components: Components, picture: bytes) -> None:
        async with aclosing(components.vision_encoder.encode(picture, max_tile_count=4)) as tiles:
            assert (await anext(tiles)).tile_index == 0


class SpeechEncoderLaws:
    """Speech to embeddings."""

    async def test_two_seconds_are_about_twenty_five_embeddings(self, components: Components) -> None:
        heard = await hear(components, speech(2.0))
        assert 22 <= sum(piece.count for piece in heard) <= 26
        assert all(len(piece.rows) == piece.count * piece.width * 2 for piece in heard)

    async def test_embeddings_come_while_the_user_still_speaks(self, components: Components) -> None:
        async with components.speech_encoder.utterance() as utterance:
            await utterance.push(speech(1.0))
            async with aclosing(utterance.embeddings()) as embeddings:
                assert (await asyncio.wait_for(anext(embeddings), 10)).count > 0

    async def test_how_the_sound_is_cut_into_pushes_does_not_matter(self, components: Components) -> None:
        sound = speech(1.5)
        heard = [numbers(await hear(components, sound, chunk_bytes)) for chunk_bytes in (640, 7_000)]
        assert len(heard[0]) == len(heard[1])
        # Passes of another length add up in another order: equal but for rounding.
        largest = max(map(abs, heard[0]))
        assert max(abs(a - b) for a, b in zip(*heard, strict=True)) <= 0.01 * largest

    async def test_utterances_at_once_do_not_mix(self, components: Components) -> None:
        sounds = [speech(1.0, seed) for seed in range(3)]
        alone = [await hear(components, sound) for sound in sounds]
        together = await asyncio.gather(*(hear(components, sound) for sound in sounds))
        assert [sum(p.count for p in heard) for heard in alone] == [sum(p.count for p in heard) for heard in together]
        assert len({rows(heard) for heard in together}) == 3

    async def test_nothing_is_heard_after_the_end(self, components: Components) -> None:
        async with components.speech_encoder.utterance() as utterance:
            await utterance.finish()
            with pytest.raises(OutOfOrder):
                await utterance.push(speech(0.1))

    async def test_an_utterance_without_sound_ends_without_embeddings(self, components: Components) -> None:
        assert await hear(components, b"") == []

    async def test_whether_a_sentence_is_finished_is_said_of_all_sound_heard_or_never(
        self, components: Components
    ) -> None:
        heard = await hear(components, speech(1.5))
        said = [piece.turn_end for piece in heard if piece.turn_end is not None]
        assert len(said) in (0, len(heard))
        assert all(0 <= turn_end.finished <= 1 for turn_end in said)
        places_ms = [turn_end.heard_ms for turn_end in said]
        assert places_ms == sorted(places_ms)
        assert not said or 1300 < places_ms[-1] <= 1500


class LlmLaws:
    """Embeddings and text to text."""

    async def test_an_answer_is_one_judgement_then_words_then_one_end(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            await context.append_text("user", "Hello there.")
            events = await all_of(context.generate(ANSWERING))
            assert isinstance(events[0], Judgement)
            assert all(isinstance(event, TextPiece) for event in events[1:-1])
            assert isinstance(events[-1], GenerationEnd)
            assert events[-1].position == context.position
            assert events[-1].token_count == sum(e.token_count for e in events if isinstance(e, TextPiece))

    async def test_positions_only_grow_until_something_is_forgotten(self, components: Components) -> None:
        embeddings = (await hear(components, speech(0.5)))[0]
        async with components.llm.context("s") as context:
            assert context.position == 0
            positions = [
                await context.append_text("system", "Be kind."),
                await context.append_embeddings("user", embeddings),
                await context.append_text("user", "And this?"),
            ]
            positions += [e.position for e in await all_of(context.generate(ANSWERING)) if isinstance(e, TextPiece)]
            assert positions == sorted(set(positions))
            assert await context.truncate(positions[0]) == positions[0] == context.position

    async def test_what_was_forgotten_is_as_if_never_said(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            await context.append_text("user", "What is this?")
            position = await context.checkpoint()
            first = await written(context, ANSWERING)
            await context.append_text("user", "Something else.")
            await context.truncate(position)
            assert await written(context, ANSWERING) == first

    async def test_a_replayed_context_answers_the_same(self, components: Components) -> None:
        answers: list[str] = []
        for session_id in ("a", "b"):
            async with components.llm.context(session_id) as context:
                await context.append_text("system", "Be kind.")
                await context.append_text("user", "What is this?")
                answers.append(await written(context, ANSWERING))
        assert answers[0] == answers[1]

    async def test_stop_ends_the_answer_as_cancelled_and_the_context_goes_on(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            await context.append_text("user", "Tell me a long story.")
            position = await context.checkpoint()
            events: list[GenerationEvent] = []
            # So hot that a trained model rambles: its own answer might be over before the stop arrives.
            async for event in context.generate(replace(LONG, temperature=5.0)):
                events.append(event)
                if isinstance(event, TextPiece):
                    await context.stop()
            assert isinstance(events[-1], GenerationEnd)
            assert events[-1].reason is FinishReason.CANCELLED
            assert await context.truncate(position) == position

    async def test_an_answer_left_early_is_stopped_and_the_context_goes_on(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            await context.append_text("user", "Tell me a long story.")
            position = await context.checkpoint()
            whole = await written(context, ANSWERING)
            await context.truncate(position)
            async with aclosing(context.generate(LONG)) as events:
                async for event in events:
                    if isinstance(event, TextPiece):
                        break
            assert await context.truncate(position) == position
            assert await written(context, ANSWERING) == whole

    async def test_a_cancelled_reader_leaves_the_context_usable(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            await context.append_text("user", "Tell me a long story.")
            position = await context.checkpoint()
            reader = asyncio.create_task(all_of(context.generate(LONG)))
            await asyncio.sleep(0.06)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            assert await context.truncate(position) == position
            assert await written(context, ANSWERING)

    async def test_noise_gets_no_words(self, components: Components) -> None:
        sampling = Sampling(states=(QueryState.SPEECH, QueryState.NOISE), noise_threshold=0.0)
        async with components.llm.context("s") as context:
            await context.append_text("user", "Mumble.")
            events = await all_of(context.generate(sampling))
            assert isinstance(events[0], Judgement)
            assert events[0].state is QueryState.NOISE
            assert isinstance(events[-1], GenerationEnd)
            assert (events[-1].reason, len(events)) == (FinishReason.NOISE, 2)

    async def test_an_answer_ends_at_its_longest(self, components: Components) -> None:
        async with components.llm.context("s") as context:
            await context.append_text("user", "Tell me a long story.")
            events = await all_of(context.generate(Sampling(max_tokens=3, states=ANSWERING.states)))
            assert isinstance(events[-1], GenerationEnd)
            assert events[-1].token_count <= 3

    async def test_what_does_not_fit_is_refused_and_nothing_is_added(self, components: Components) -> None:
        piece = (await hear(components, speech(0.5)))[0]
        async with components.llm.context("s") as context:
            before = await context.append_text("user", "Hello.")
            count = context.capacity + 1
            row = piece.rows[: piece.width * 2]
            with pytest.raises(ContextFull):
                await context.append_embeddings("user", Embeddings(row * count, count, piece.width))
            assert await context.checkpoint() == before

    async def test_contexts_at_once_answer_as_each_alone(self, components: Components) -> None:
        async def ask(question: str) -> str:
            async with components.llm.context(question) as context:
                await context.append_text("user", question)
                return await written(context, ANSWERING)

        questions = ["Red?", "What shape is it?", "你好吗？"]
        alone = [await ask(question) for question in questions]
        assert await asyncio.gather(*(ask(question) for question in questions)) == alone


class SpeakingLaws:
    """Text to codec tokens to sound."""

    async def test_a_clause_comes_in_growing_chunks_and_ends_once(self, components: Components) -> None:
        chunks = [codes async for codes in components.speech_decoder.speak("A red circle it is.", seed=1)]
        assert [codes.is_last for codes in chunks] == [False] * (len(chunks) - 1) + [True]
        assert len(chunks[0].codes) <= 10
        assert all(0 <= code < 1024 for codes in chunks for code in codes.codes)

    async def test_the_same_seed_speaks_the_same_also_beside_others(self, components: Components) -> None:
        async def speak(clause: str) -> tuple[int, ...]:
            spoken: tuple[int, ...] = ()
            async with aclosing(components.speech_decoder.speak(clause, seed=5)) as chunks:
                async for codes in chunks:
                    spoken += codes.codes
                    if len(spoken) >= 30:  # random weights may speak for ever
                        break
            return spoken

        clauses = ["This is number one.", "Number two is longer than that.", "And that was three."]
        alone = [await speak(clause) for clause in clauses]
        assert await asyncio.gather(*(speak(clause) for clause in clauses)) == alone

    async def test_a_clause_may_be_left_after_its_first_chunk(self, components: Components) -> None:
        async with aclosing(components.speech_decoder.speak("A clause that nobody hears out.", seed=0)) as chunks:
            assert (await anext(chunks)).codes

    async def test_a_window_gives_six_hundred_samples_a_kept_code(self, components: Components) -> None:
        window = tuple(range(50))
        sound = await components.codec_decoder.decode(window, keep_from=10, keep_count=30)
        assert len(sound) == 30 * 600 * 2

    async def test_windows_at_once_do_not_mix(self, components: Components) -> None:
        windows = [tuple(range(start, start + 30)) for start in (0, 200, 400)]

        async def decode(window: tuple[int, ...]) -> bytes:
            return await components.codec_decoder.decode(window, keep_from=10, keep_count=10)

        alone = [await decode(window) for window in windows]
        assert await asyncio.gather(*(decode(window) for window in windows)) == alone


class ComponentLaws(VisionLaws, SpeechEncoderLaws, LlmLaws, ToolLaws, SpeakingLaws):
    """All of them."""
