"""Recorded servers say again what was said, as fast as it was said, and nothing that was not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import pytest
from vita.recording.v1.recording_pb2 import KIND_REPLY, Manifest, Record
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_components.connect import NAMES, ConnectedComponents
from vita_orchestrator.components import (
    Components,
    Embeddings,
    FinishReason,
    GenerationEnd,
    Judgement,
    Sampling,
    TextPiece,
)
from vita_recordings.bundle import BadRecording, Bundle
from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC, ZERO
from vita_replay.modelled.llm import LlmSettings
from vita_replay.pace import Pace
from vita_replay.recorded.components import Recorded
from vita_replay.tape import ReplayTape
from vita_runtime.errors import VitaError

from tests.components.laws import all_of, hear, rows, speech, written
from tests.replay.servers.conftest import connected, serving
from tests.replay.servers.noting import recorded, recorded_over
from tests.replay.servers.test_faults import USES

pytestmark = pytest.mark.unit

PICTURE = b"\xff\xd8\xff a picture"
ANSWERS = LlmSettings(answers=("A red circle, it is.", "A blue one, this time."))
MODELLED = Modelled(ZERO, llm=ANSWERS)


@asynccontextmanager
async def replaying(
    bundle: Bundle, fallback: Modelled | None = None
) -> AsyncIterator[tuple[ConnectedComponents, Mapping[str, ComponentServer]]]:
    """The real clients on recorded servers."""
    async with serving(Recorded(bundle, fallback).behaviour) as servers, connected(servers) as components:
        yield components, servers


async def everything(components: Components, _: ReplayTape | None = None) -> list[object]:
    """Something of every component, as it comes."""
    said: list[object] = [tile async for tile in components.vision_encoder.encode(PICTURE, max_tile_count=3)]
    heard = await hear(components, speech(1.3))
    said.append(rows(heard))
    async with components.llm.context("s") as context:
        await context.append_text("system", "Be kind.")
        for piece in heard:
            await context.append_embeddings("user", piece)
        said += [(type(e), getattr(e, "text", "")) for e in await all_of(context.generate(Sampling()))]
        await context.append_text("user", "And now?")
        said.append(await written(context, Sampling(max_tokens=3)))
    async with aclosing(components.speech_decoder.speak("A red circle, it is.", seed=7)) as chunks:
        said += [chunk async for chunk in chunks]
    said.append(await components.codec_decoder.decode(tuple(range(30)), keep_from=10, keep_count=10))
    return said


async def test_everything_is_said_again_however_often() -> None:
    bundle, said = await recorded(MODELLED, everything)
    async with replaying(bundle) as (components, _):
        assert await everything(components) == said
        assert await asyncio.gather(*(everything(components) for _ in range(3))) == [said] * 3


async def nothing(components: Components, _: ReplayTape) -> None:
    """Nothing is asked."""


@pytest.mark.parametrize("component", NAMES)
async def test_what_the_recording_lacks_is_refused_or_left_to_the_fallback(component: str) -> None:
    bundle, _ = await recorded(MODELLED, nothing)
    async with replaying(bundle) as (components, _):
        with pytest.raises(VitaError) as caught:
            await USES[component](components)
        assert caught.value.reason == "ERROR_REASON_INTERNAL"
        assert components.unready() == []
    async with replaying(bundle, MODELLED) as (components, _):
        await USES[component](components)


async def test_the_fallback_goes_on_where_the_recorded_sound_ends() -> None:
    sound = speech(2.0)

    async def listen(components: Components, _: ReplayTape) -> bytes:
        return rows(await hear(components, sound[:32_000]))

    bundle, _ = await recorded(MODELLED, listen)
    async with serving(MODELLED.behaviour) as servers, connected(servers) as components:
        whole = rows(await hear(components, sound))
    async with replaying(bundle, MODELLED) as (components, _):
        assert rows(await hear(components, sound)) == whole


async def test_the_sound_may_be_cut_otherwise_than_it_was() -> None:
    sound = speech(1.7)

    async def listen(components: Components, _: ReplayTape) -> bytes:
        return rows(await hear(components, sound, 640))

    bundle, whole = await recorded(MODELLED, listen)
    async with replaying(bundle) as (components, _):
        for chunk_bytes in (320, 5_000, len(sound)):
            assert rows(await hear(components, sound, chunk_bytes)) == whole


async def test_utterances_that_begin_alike_are_told_apart_when_they_part() -> None:
    sounds = [bytes(32_000) + speech(1.0, seed) for seed in (1, 2)]

    async def listen(components: Components, _: ReplayTape) -> list[bytes]:
        return [rows(await hear(components, sound)) for sound in sounds]

    bundle, whole = await recorded(MODELLED, listen)
    async with replaying(bundle) as (components, _):
        assert [rows(await hear(components, sound)) for sound in sounds] == whole


async def test_an_answer_is_found_behind_a_history_that_the_recording_does_not_hold() -> None:
    piece = Embeddings(bytes(range(64)), 4, 8)

    async def go_on(components: Components, noting: ReplayTape) -> str:
        async with components.llm.context("s") as context:
            await context.append_text("system", "Be kind.")
            await context.append_text("user", "What is this?")
            await written(context, Sampling())
            noting.start()  # all of that was before the recording
            await context.append_embeddings("user", piece)
            return await written(context, Sampling())

    bundle, answer = await recorded(MODELLED, go_on)
    async with replaying(bundle) as (components, _), components.llm.context("s") as context:
        await context.append_text("system", "Be kind.")
        await context.append_text("user", "What is this?")
        await context.append_text("assistant", "A red circle, it is.")
        for row in range(4):
            await context.append_embeddings("user", Embeddings(piece.rows[row * 16 :][:16], 1, 8))
        assert await written(context, Sampling()) == answer == "A blue one, this time."


async def test_what_was_forgotten_does_not_count_for_the_answer() -> None:
    async def ask(components: Components, _: ReplayTape) -> str:
        async with components.llm.context("s") as context:
            await context.append_text("user", "What is this?")
            return await written(context, Sampling())

    bundle, answer = await recorded(MODELLED, ask)
    async with replaying(bundle) as (components, _), components.llm.context("s") as context:
        position = await context.append_text("user", "What is this?")
        await context.append_text("user", " No, wait.")
        with pytest.raises(VitaError):
            await written(context, Sampling())
        await context.truncate(position)
        assert await written(context, Sampling()) == answer
        await context.truncate(position)
        with pytest.raises(VitaError):
            await written(context, Sampling(seed=1))


async def test_an_answer_that_was_stopped_is_known_so_far_and_can_be_stopped_again() -> None:
    modelled = Modelled(REALISTIC, llm=LlmSettings(answers=("Words without an end, one after another. " * 20,)))

    async def stop(components: Components, _: ReplayTape | None = None) -> tuple[str, FinishReason]:
        text = ""
        async with components.llm.context("s") as context:
            await context.append_text("user", "Tell me.")
            async for event in context.generate(Sampling()):
                match event:
                    case TextPiece():
                        text += event.text
                        if len(text) > 60:
                            await context.stop()
                    case GenerationEnd():
                        return text, event.reason
                    case Judgement():
                        pass
        raise AssertionError("no end")

    bundle, (said, reason) = await recorded(modelled, stop)
    async with replaying(bundle) as (components, _):
        again, reason_again = await stop(components)
    assert reason is reason_again is FinishReason.CANCELLED
    assert said.startswith(again[:60])


async def test_a_replica_that_was_lost_in_the_recording_is_not_lost_again() -> None:
    codes: list[list[int]] = []

    async with serving(Modelled(REALISTIC).behaviour) as servers:
        server = servers["speech_decoder"]

        async def speak(components: Components, _: ReplayTape | None = None) -> None:
            codes.append([])
            async with aclosing(components.speech_decoder.speak("A clause of some length.", seed=3)) as chunks:
                async for chunk in chunks:
                    codes[-1] += chunk.codes

        async def speak_twice(components: ConnectedComponents, _: ReplayTape) -> None:
            server.faults.when_answering(lambda: server.kill(back_after_s=0.2), count=2)
            with pytest.raises(VitaError):
                await speak(components)
            await components.wait_ready(3)
            await speak(components)

        bundle, _ = await recorded_over(servers, speak_twice)
    async with replaying(bundle) as (components, _):
        await speak(components)
    assert codes[0] == codes[1][:10]
    assert codes[2] == codes[1]


async def test_replies_come_as_late_as_they_came_or_as_much_later_as_the_server_is_slow() -> None:
    loop = asyncio.get_running_loop()

    async def speak(components: Components, _: ReplayTape | None = None) -> float:
        started_s = loop.time()
        async with aclosing(components.speech_decoder.speak("A clause of some length.", seed=3)) as chunks:
            async for _chunk in chunks:
                pass
        return loop.time() - started_s

    bundle, took_s = await recorded(Modelled(REALISTIC.scaled(50)), speak)
    assert took_s > 0.1
    async with replaying(bundle) as (components, servers):
        assert 0.9 * took_s < await speak(components) < took_s + 0.1
        servers["speech_decoder"].faults.slow(2.0)
        assert 1.9 * took_s < await speak(components) < 2 * took_s + 0.1


def test_a_recording_of_nonsense_is_refused_as_such() -> None:
    nonsense = Record(
        edge=3, kind=KIND_REPLY, component="llm", type="inference.ModelInferResponse", content=b"\xff\xff"
    )
    with pytest.raises(BadRecording):
        Recorded(Bundle(Manifest(), Snapshot(), (nonsense,)))


def test_there_are_five_components() -> None:
    with pytest.raises(ValueError, match="ear"):
        Recorded(Bundle(Manifest(), Snapshot(), ())).behaviour("ear", Pace())
