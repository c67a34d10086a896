"""Whatever a client sends, it is told what is wrong with it, and the session goes on: through all of the real stack."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable

import grpc
import httpx
import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item
from vita.media.v1.media_pb2 import (
    AUDIO_ENCODING_PCM_S16LE,
    IMAGE_ENCODING_JPEG,
    IMAGE_ENCODING_PNG,
    AudioChunk,
    ImageFrame,
)
from vita_cli.realtime_client import Event, realtime_url
from websockets.asyncio.client import ClientConnection, connect

from tests.acceptance.conversing import ANSWER_S, data_url
from tests.gateway.running import picture, wav
from tests.gateway.test_bad_input import huge_png, nan_wav
from tests.stack import RunningStack

pytestmark = pytest.mark.triton

FEW_TOKENS = 4
HALF_JPEG = picture("JPEG", (400, 300))[:20_000]
LONG_S = 31  # the limit is 30


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def user(**content: object) -> Event:
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": [content]},
    }


def append(audio: str) -> Event:
    return {"type": "input_audio_buffer.append", "audio": audio}


BY_HAND = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
TEXT_ONLY = {"output_modalities": ["text"], "max_output_tokens": FEW_TOKENS}

# What is sent, and words of the error that must come of it.
BAD_EVENTS: dict[str, tuple[Callable[[], list[Event | bytes | str]], str]] = {
    "a JPEG cut in half": (
        lambda: [user(type="input_image", image_url=data_url(HALF_JPEG, "jpeg"))],
        "damaged",
    ),
    "a 30,000 × 30,000 PNG": (lambda: [user(type="input_image", image_url=data_url(huge_png()))], "too large"),
    "a 5 MB text": (lambda: [user(type="input_text", text="a" * 5_000_000)], "too long"),
    "a picture in wrong base64": (
        lambda: [user(type="input_image", image_url="data:image/png;base64,@@@@")],
        "base64",
    ),
    "sound in wrong base64": (lambda: [append("!!not base64!!")], "base64"),
    "half a sample": (lambda: [append(b64(b"\0" * 4801))], "whole 16-bit samples"),
    "a recording that is too long": (
        lambda: [user(type="input_audio", audio=b64(b"\0\0" * 24_000 * LONG_S))],
        "too long",
    ),
    "a recording of nothing": (lambda: [user(type="input_audio", audio="")], "empty"),
    "an utterance that is too long": (
        lambda: [{"type": "session.update", "session": BY_HAND}, *[append(b64(b"\0\0" * 24_000))] * LONG_S],
        "too long",
    ),
    "a commit of nothing": (
        lambda: [{"type": "session.update", "session": BY_HAND}, {"type": "input_audio_buffer.commit"}],
        "0 ms",
    ),
    "an unknown event": (lambda: [{"type": "conversation.dance"}], "not known"),
    "an event of no type": (lambda: [{"kind": "x"}], "no type"),
    "no JSON": (lambda: ["{"], "JSON"),
    "invalid UTF-8": (lambda: [b'{"type": "\xff\xfe"}'], "UTF-8"),
    "an item that is not there": (
        lambda: [{"type": "conversation.item.retrieve", "item_id": "item_nowhere"}],
        "no",
    ),
    "a temperature that is a word": (
        lambda: [{"type": "session.update", "session": {"type": "realtime", "temperature": "hot"}}],
        "temperature",
    ),
}


async def send(socket: ClientConnection, content: Event | bytes | str) -> None:
    """Send an event, or what is none as it is."""
    if isinstance(content, bytes):
        await socket.send(content, text=True)  # libraries check their own texts; other people's do not
    else:
        await socket.send(content if isinstance(content, str) else json.dumps(content))


async def until(socket: ClientConnection, *kinds: str) -> Event:
    """Read until an event of one of these kinds."""
    async with asyncio.timeout(ANSWER_S):
        while (event := json.loads(await socket.recv()))["type"] not in kinds:
            pass
        return event


@pytest.mark.parametrize("case", BAD_EVENTS, ids=list(BAD_EVENTS))
async def test_a_bad_event_is_refused_and_the_session_answers_the_next_question(stack: RunningStack, case: str) -> None:
    events, words = BAD_EVENTS[case]
    async with connect(realtime_url(stack.url, "vita"), compression=None, max_size=None, proxy=None) as socket:
        for event in events():
            await send(socket, event)
        error = (await until(socket, "error"))["error"]
        assert isinstance(error, dict)
        assert words in error["message"], error
        await send(socket, {"type": "input_audio_buffer.clear"})
        await send(socket, user(type="input_text", text="Hello."))
        await send(socket, {"type": "response.create", "response": TEXT_ONLY})
        done = (await until(socket, "response.done", "error"))["response"]
        assert isinstance(done, dict)
        assert done["status"] in ("completed", "incomplete"), done
        assert done["output"]


def sound(content: bytes) -> Event:
    return {"type": "input_audio", "input_audio": {"data": b64(content), "format": "wav"}}


WAVS: dict[str, tuple[Callable[[], bytes], str]] = {  # what is wrong with it; "": it is heard
    "cut short": (lambda: wav(1.0)[:9000], "cut short"),
    "of zero length": (lambda: wav(0), "empty"),
    "with NaN samples": (nan_wav, "not finite"),
    "longer than the limit": (lambda: wav(LONG_S, 8_000), "too long"),
    "of 8 bits": (lambda: wav(0.5, subtype="PCM_U8"), ""),
    "of 96 kHz": (lambda: wav(0.5, 96_000), ""),
    "in stereo": (lambda: wav(0.5, channels=2), ""),
}


@pytest.fixture
async def http(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=ANSWER_S) as client:
        yield client


@pytest.mark.parametrize("case", WAVS, ids=list(WAVS))
async def test_a_wav_of_any_kind_is_heard_or_refused_and_the_next_request_is_served(
    http: httpx.AsyncClient, case: str
) -> None:
    content, problem = WAVS[case]
    few = {"model": "vita", "max_completion_tokens": FEW_TOKENS}
    answer = await http.post(
        "/v1/chat/completions", json={**few, "messages": [{"role": "user", "content": [sound(content())]}]}
    )
    assert answer.status_code == (400 if problem else 200), answer.text
    if problem:
        assert problem in answer.json()["error"]["message"]
    again = await http.post("/v1/chat/completions", json={**few, "messages": [{"role": "user", "content": "Hello."}]})
    assert again.json()["choices"][0]["message"]["content"]


def image(content: bytes, encoding: int = IMAGE_ENCODING_PNG) -> wire.ConverseRequest:
    return wire.ConverseRequest(image=ImageFrame(content=content, encoding=encoding))  # type: ignore[arg-type]


def audio(samples: bytes, rate_hz: int = 16_000) -> wire.ConverseRequest:
    chunk = AudioChunk(samples=samples, sample_rate_hz=rate_hz, encoding=AUDIO_ENCODING_PCM_S16LE)
    return wire.ConverseRequest(audio=chunk)


# Without the gateway before it the real vision encoder sees what is no picture.
BAD_REQUESTS: dict[str, tuple[Callable[[], wire.ConverseRequest], str]] = {
    "a JPEG cut in half": (lambda: image(HALF_JPEG, IMAGE_ENCODING_JPEG), "ERROR_REASON_BAD_MEDIA"),
    "a 30,000 × 30,000 PNG": (lambda: image(huge_png()), "ERROR_REASON_BAD_MEDIA"),
    "a picture of nothing": (lambda: image(b""), "ERROR_REASON_BAD_"),
    "sound of 96 kHz": (lambda: audio(b"\0\0" * 960, 96_000), "ERROR_REASON_BAD_INPUT"),
    "half a sample": (lambda: audio(b"\0" * 321), "ERROR_REASON_BAD_"),
    "a second too much at once": (lambda: audio(b"\0\0" * 16_000), "ERROR_REASON_BAD_INPUT"),
    "a second opening": (lambda: wire.ConverseRequest(open=wire.Open()), "ERROR_REASON_OUT_OF_ORDER"),
    "nothing": (wire.ConverseRequest, "ERROR_REASON_OUT_OF_ORDER"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS, ids=list(BAD_REQUESTS))
async def test_a_bad_request_is_told_and_the_conversation_answers_the_next(stack: RunningStack, case: str) -> None:
    request, reason = BAD_REQUESTS[case]
    configuration = wire.SessionConfiguration(modality=wire.MODALITY_TEXT, max_output_tokens=FEW_TOKENS)
    hello = Item(role=ROLE_USER, parts=[ContentPart(text="Hello.")])
    async with grpc.aio.insecure_channel(stack.address("orchestrator")) as channel:
        call = ConversationServiceStub(channel).Converse(timeout=ANSWER_S)
        await call.write(wire.ConverseRequest(open=wire.Open(configuration=configuration)))
        await call.write(request())
        failure = await arrival(call, "failure")
        assert reason in str(failure.failure.status.details[0].value)
        await call.write(wire.ConverseRequest(create_item=wire.CreateItem(item=hello)))
        await call.write(wire.ConverseRequest(create_response=wire.CreateResponse()))
        done = (await arrival(call, "response_done")).response_done
        assert done.outcome in (wire.RESPONSE_OUTCOME_COMPLETED, wire.RESPONSE_OUTCOME_LENGTH)
        call.cancel()


async def arrival(
    call: grpc.aio.StreamStreamCall[wire.ConverseRequest, wire.ConverseResponse], kind: str
) -> wire.ConverseResponse:
    """Read until an event of this kind."""
    async for response in call:
        if response.WhichOneof("event") == kind:
            return response
    raise AssertionError(f"the conversation ended without {kind}")
