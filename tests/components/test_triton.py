"""Streams and errors of the one wire to Triton."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from vita_components.codec_decoder import TritonCodecDecoder
from vita_components.failures import error_of_message, is_refusal
from vita_components.llm import TritonLlm
from vita_components.speech_decoder import TritonSpeechDecoder
from vita_components.speech_encoder import TritonSpeechEncoder
from vita_components.tensors import Tensor, integer_tensor, text_tensor
from vita_components.triton import Deadline, build_request, parse_reply
from vita_components.vision_encoder import TritonVisionEncoder
from vita_orchestrator.components import TurnEnd
from vita_runtime.errors import (
    AtCapacity,
    BadInput,
    BadMedia,
    ComponentDeadline,
    ComponentUnavailable,
    ContextFull,
    VitaError,
)

from tests.components.conftest import MakePool, Serve
from tests.components.fake_triton import Died, response

pytestmark = pytest.mark.unit

CODES = tuple(range(100))


async def number(request: Any) -> AsyncIterator[Any]:
    """Reply with the request's number, later the smaller it is."""
    value = int(request.id)
    await asyncio.sleep(0.05)
    yield response(integer_tensor("NUMBER", [value]))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("ERROR_REASON_CONTEXT_FULL: 5000 rows do not fit", ContextFull),
        ("in ensemble: ERROR_REASON_BAD_MEDIA: no picture", BadMedia),
        ("ERROR_REASON_BAD_INPUT: op: unknown", BadInput),
        ("ERROR_REASON_AT_CAPACITY: all sessions are in use", AtCapacity),
        ("ERROR_REASON_COMPONENT_UNAVAILABLE: the session lost its slot", ComponentUnavailable),
        ("Stub process 'llm_0_0' is not healthy.", ComponentUnavailable),
        ("Request for unknown model: 'llm' is not at ready state", ComponentUnavailable),
        ("something else", VitaError),
        ("ERROR_REASON_NEVER_HEARD_OF: hm", VitaError),
    ],
)
def test_an_error_means_what_its_reason_says(message: str, kind: type[VitaError]) -> None:
    assert type(error_of_message("llm", message)) is kind


def test_a_refusal_is_no_sign_of_a_lost_replica() -> None:
    assert is_refusal(error_of_message("llm", "ERROR_REASON_COMPONENT_UNAVAILABLE: no such session"))
    assert not is_refusal(error_of_message("llm", "Stub process 'llm_0_0' is not healthy."))


def test_tensors_come_out_as_they_went_in() -> None:
    sent = [
        text_tensor("TEXT", "héllo 红 🙂\0"),
        integer_tensor("NUMBERS", [-1, 2**31 - 1]),
        Tensor("ROWS", "FP16", (2, 2), bytes(8)),
    ]
    reply = parse_reply(response(*sent))
    assert list(reply.tensors.values()) == sent
    assert reply.text("TEXT") == "héllo 红 🙂\0"
    assert reply.numbers("NUMBERS") == (-1, 2**31 - 1)


def test_a_reply_without_a_tensor_is_a_defect_and_says_which() -> None:
    with pytest.raises(VitaError, match="SOUND"):
        parse_reply(response()).tensor("SOUND")


async def test_a_cancelled_reader_or_writer_does_not_end_the_stream(serve: Serve, make_pool: MakePool) -> None:
    pool = await make_pool("m", [await serve(number)])
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(build_request("m", request_id="1"))
        for waiting in (stream.receive(Deadline(5)), stream.send(build_request("m", request_id="2"))):
            task = asyncio.create_task(waiting)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        replies = [await stream.receive(Deadline(5)) for _ in range(2)]
        assert [reply and reply.integer("NUMBER") for reply in replies] == [1, 2]


async def test_a_deadline_does_not_end_the_stream(serve: Serve, make_pool: MakePool) -> None:
    pool = await make_pool("m", [await serve(number)])
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(build_request("m", request_id="7"))
        with pytest.raises(ComponentDeadline):
            await stream.receive(Deadline(0.01))
        reply = await stream.receive(Deadline(5))
        assert reply
        assert reply.integer("NUMBER") == 7


async def test_leaving_a_stream_cancels_it_at_the_server(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(number)
    pool = await make_pool("m", [server])
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(build_request("m", request_id="1"))
        await asyncio.sleep(0.02)
        assert server.open_streams == 1
    async with asyncio.timeout(1):
        while server.open_streams:  # noqa: ASYNC110  # it is the server's count
            await asyncio.sleep(0.005)


async def test_a_call_without_a_server_is_unavailable_at_once(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(number)
    pool = await make_pool("m", [server])
    await server.stop()
    async with asyncio.timeout(1):
        with pytest.raises(ComponentUnavailable):
            await pool.endpoints[0].infer(build_request("m"), deadline_s=5)


async def speak(request: Any) -> AsyncIterator[Any]:
    """A hundred codes in chunks of ten."""
    for at in range(0, 100, 10):
        end = [integer_tensor("END", [1])] if at == 90 else []
        yield response(integer_tensor("CODES", CODES[at : at + 10]), *end)


async def test_after_a_loss_the_next_clause_is_spoken_elsewhere(serve: Serve, make_pool: MakePool) -> None:
    async def speak_and_die(request: Any) -> AsyncIterator[Any]:
        async with aclosing(speak(request)) as chunks:
            for _ in range(3):
                yield await anext(chunks)
        raise Died

    dying, there = await serve(speak_and_die), await serve(speak)
    decoder = TritonSpeechDecoder(await make_pool("speech_decoder", [dying, there]))
    spoken: list[int] = []
    with pytest.raises(ComponentUnavailable):  # noqa: PT012  # in the middle
        async for codes in decoder.speak("A clause.", seed=1):
            spoken += codes.codes
    assert tuple(spoken) == CODES[:30]
    again = [codes async for codes in decoder.speak("A clause.", seed=1)]
    assert sum((codes.codes for codes in again), ()) == CODES
    assert [codes.is_last for codes in again].count(True) == 1


async def tiles(request: Any) -> AsyncIterator[Any]:
    """Three tiles."""
    for index in range(3):
        yield response(Tensor("EMBEDDINGS", "FP16", (1, 1), bytes([index, 0])), integer_tensor("TILE", [index, 3]))


async def test_a_picture_that_is_refused_is_not_tried_again(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(tiles)
    pool = await make_pool("vision_encoder", [server])
    encoder = TritonVisionEncoder(pool)
    assert [tile.tile_index async for tile in encoder.encode(b"x", max_tile_count=2)] == [0, 1, 2]
    server.refusal = "ERROR_REASON_BAD_MEDIA: no picture"
    with pytest.raises(BadMedia):
        await anext(encoder.encode(b"x", max_tile_count=2))


async def sound(request: Any) -> AsyncIterator[Any]:
    """Sound of one code."""
    yield response(Tensor("SOUND", "INT16", (600,), b"\1\0" * 600))


async def test_a_window_on_a_model_that_dies_is_lost_long_before_its_deadline(
    serve: Serve, make_pool: MakePool
) -> None:
    server = await serve(sound)
    codec = TritonCodecDecoder(await make_pool("codec_decoder", [server]))
    assert await codec.decode((1,), keep_from=0, keep_count=1) == b"\1\0" * 600
    server.is_hung = True
    async with asyncio.timeout(2):
        with pytest.raises(ComponentUnavailable):
            await codec.decode((1,), keep_from=0, keep_count=1)


async def test_a_context_without_room_is_refused_and_its_replica_stays_in_use(
    serve: Serve, make_pool: MakePool
) -> None:
    async def full(request: Any) -> AsyncIterator[Any]:
        sequence = request.parameters["sequence"].int64_param
        yield response(
            text_tensor("KIND", "error"),
            text_tensor("TEXT", "ERROR_REASON_AT_CAPACITY: all sessions are in use"),
            Tensor("SEQUENCE", "INT64", (1,), sequence.to_bytes(8, "little")),
        )

    pool = await make_pool("llm", [await serve(full)])
    with pytest.raises(AtCapacity):
        await TritonLlm(pool).context("s").__aenter__()
    assert pool.is_well
    assert pool.endpoints[0].in_flight == 0


async def test_a_recorded_sound_may_take_long_as_long_as_embeddings_come(
    serve: Serve, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(request: Any) -> AsyncIterator[Any]:
        if request.parameters["op"].string_param != "finish":
            return
        for index in range(6):
            await asyncio.sleep(0.2)
            yield response(Tensor("EMBEDDINGS", "FP16", (1, 2), bytes(4)), integer_tensor("END", [index == 5]))

    monkeypatch.setattr("vita_components.speech_encoder.FINISH_S", 0.6)
    pool = await make_pool("speech_encoder", [await serve(slowly)])
    async with TritonSpeechEncoder(pool).utterance() as utterance:
        await utterance.push(bytes(640))
        await utterance.finish()
        assert len([embeddings async for embeddings in utterance.embeddings()]) == 6


def of_a_sentence(finished: float, heard_ms: int = 160) -> tuple[Tensor, ...]:
    return Tensor("FINISHED", "FP32", (1,), struct.pack("<f", finished)), integer_tensor("HEARD_MS", [heard_ms])


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ((), None),
        (of_a_sentence(0.25), TurnEnd(0.25, 160)),
        (of_a_sentence(0.25)[:1], ComponentUnavailable),
        (of_a_sentence(1.5), ComponentUnavailable),
        (of_a_sentence(float("nan")), ComponentUnavailable),
        ((Tensor("FINISHED", "FP32", (2,), bytes(8)), *of_a_sentence(0.25)[1:]), ComponentUnavailable),
        ((integer_tensor("FINISHED", [1]), *of_a_sentence(0.25)[1:]), ComponentUnavailable),
    ],
)
async def test_what_is_made_of_a_sentence_is_a_probability_or_is_not_said_or_the_replica_is_lost(
    serve: Serve, make_pool: MakePool, tensors: tuple[Tensor, ...], expected: TurnEnd | type[Exception] | None
) -> None:
    async def hearing(request: Any) -> AsyncIterator[Any]:
        if request.parameters["op"].string_param == "finish":
            yield response(Tensor("EMBEDDINGS", "FP16", (1, 2), bytes(4)), integer_tensor("END", [1]), *tensors)

    pool = await make_pool("speech_encoder", [await serve(hearing)])
    async with TritonSpeechEncoder(pool).utterance() as utterance:
        await utterance.finish()
        if isinstance(expected, type):
            with pytest.raises(expected):
                await anext(utterance.embeddings())
        else:
            assert [embeddings.turn_end async for embeddings in utterance.embeddings()] == [expected]


@pytest.mark.parametrize("sequence", [0, 1, 99])
async def test_a_reply_to_what_was_not_asked_or_has_been_answered_loses_the_context(
    serve: Serve, make_pool: MakePool, sequence: int
) -> None:
    async def astray(request: Any) -> AsyncIterator[Any]:
        is_opening = request.parameters["op"].string_param == "open"
        number = 1 if is_opening else sequence
        yield response(
            text_tensor("KIND", "opened" if is_opening else "checkpoint"),
            Tensor("SEQUENCE", "INT64", (1,), number.to_bytes(8, "little")),
            integer_tensor("POSITION", [0]),
            integer_tensor("COUNT", [10]),
        )
        if not is_opening and sequence == 1:  # as late as the reply to something given up, but this was not
            yield response(text_tensor("KIND", "checkpoint"), Tensor("SEQUENCE", "INT64", (1,), bytes(8)))

    pool = await make_pool("llm", [await serve(astray)])
    async with asyncio.timeout(2):
        with pytest.raises(ComponentUnavailable):
            async with TritonLlm(pool).context("s") as context:
                await context.checkpoint()
