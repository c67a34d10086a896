"""Clients that vanish or stop reading: their work stops, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item
from vita_cli.realtime_client import Event, realtime_url
from websockets.asyncio.client import ClientConnection, connect

from tests.acceptance.conversing import (
    ANSWER_S,
    IDLE_S,
    PICTURE,
    REPORT_S,
    ask,
    data_url,
    eventually,
    metric,
    session,
    tokens,
    wait_until_idle,
)
from tests.stack import RunningStack

pytestmark = pytest.mark.triton

REQUEST = "Please describe the picture."
PIECES = 40  # of 0.8 MB each: far beyond what the buffers on the way hold
BIG_PX = 480  # a picture of noise of 0.7 MB, about the largest that the API gives back

Vanishing = Callable[[RunningStack], AbstractAsyncContextManager[None]]


async def until(socket: ClientConnection, kind: str) -> Event:
    """Read until an event of this kind."""
    async with asyncio.timeout(ANSWER_S):
        while (event := json.loads(await socket.recv()))["type"] != kind:
            assert event["type"] != "error", event
        return event


async def say(socket: ClientConnection, kind: str, **fields: object) -> None:
    """Send one event."""
    await socket.send(json.dumps({"type": kind, **fields}))


async def show(socket: ClientConnection, picture: bytes) -> str:
    """Add a picture to the conversation; return its item's id."""
    content = [{"type": "input_image", "image_url": data_url(picture), "detail": "low"}]
    await say(socket, "conversation.item.create", item={"type": "message", "role": "user", "content": content})
    return str((await until(socket, "conversation.item.done"))["item"]["id"])  # type: ignore[index]


@contextlib.asynccontextmanager
async def realtime(stack: RunningStack) -> AsyncIterator[None]:
    """Hear an answer begin over WebSocket, then cut the line."""
    async with connect(realtime_url(stack.url, "vita"), compression=None, proxy=None) as socket:
        await show(socket, PICTURE)
        content = [{"type": "input_text", "text": REQUEST}]
        await say(socket, "conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await say(socket, "response.create")
        await until(socket, "response.output_audio.delta")
        yield
        socket.transport.abort()


@contextlib.asynccontextmanager
async def chat(stack: RunningStack) -> AsyncIterator[None]:
    """Read the start of a streamed completion, then close the connection."""
    picture = {"type": "image_url", "image_url": {"url": data_url(PICTURE)}}
    body = {
        "model": "vita",
        "messages": [{"role": "user", "content": [picture, {"type": "text", "text": REQUEST}]}],
        "modalities": ["text", "audio"],
        "audio": {"voice": "vita", "format": "pcm16"},
        "stream": True,
    }
    async with (
        httpx.AsyncClient(timeout=ANSWER_S) as client,
        client.stream("POST", f"{stack.url}/v1/chat/completions", json=body) as response,
    ):
        assert response.status_code == 200
        lines = response.aiter_lines()
        while '"data"' not in await anext(lines):
            pass
        yield


@contextlib.asynccontextmanager
async def converse(stack: RunningStack) -> AsyncIterator[None]:
    """Hear an answer begin over gRPC, then cancel the call."""
    opening = wire.Open(configuration=wire.SessionConfiguration(seed=7, is_paced=False))
    item = Item(role=ROLE_USER, parts=[ContentPart(text=REQUEST)])
    async with grpc.aio.insecure_channel(stack.address("orchestrator")) as channel:
        call = ConversationServiceStub(channel).Converse(timeout=ANSWER_S)
        await call.write(wire.ConverseRequest(open=opening))
        await call.write(wire.ConverseRequest(create_item=wire.CreateItem(item=item)))
        await call.write(wire.ConverseRequest(create_response=wire.CreateResponse()))
        async for response in call:
            if response.HasField("answer_audio"):
                break
        yield
        call.cancel()


@pytest.mark.parametrize("vanishing", [realtime, chat, converse])
async def test_the_work_for_a_client_that_vanishes_stops_within_a_second_in_every_stage(
    stack: RunningStack, vanishing: Vanishing
) -> None:
    async with vanishing(stack):
        assert metric(stack, "orchestrator", "vita_sessions") == 1
    await asyncio.to_thread(wait_until_idle, stack, IDLE_S + REPORT_S)
    await asyncio.sleep(1.5 * REPORT_S)  # the last figures of work that is over may still be on their way
    put_out = await asyncio.to_thread(tokens, stack)
    await asyncio.sleep(1.5 * REPORT_S)
    assert await asyncio.to_thread(tokens, stack) == put_out, "an engine works on for nobody"


def big_picture() -> bytes:
    """Return a PNG that does not compress."""
    noise = np.random.default_rng(0).integers(0, 255, (BIG_PX, BIG_PX, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


async def test_a_client_that_stops_reading_is_dropped_and_others_go_on(stack: RunningStack) -> None:
    dropped = metric(stack, "gateway", "vita_gateway_realtime_closes_total", code="1008")
    # One message is read ahead; then the library leaves the rest in the socket.
    async with connect(realtime_url(stack.url, "vita"), compression=None, max_queue=1, max_size=None) as silent:
        picture_id = await show(silent, big_picture())
        for _ in range(PIECES):
            await say(silent, "conversation.item.retrieve", item_id=picture_id)
        async with session(stack, output_modalities=["text"], max_output_tokens=8) as client:
            assert (await ask(client, "Hello.")).text

        def is_dropped() -> bool:
            return metric(stack, "gateway", "vita_gateway_realtime_closes_total", code="1008") > dropped

        await asyncio.to_thread(eventually, is_dropped, "the client that does not read is closed")
        silent.transport.abort()
    await asyncio.to_thread(wait_until_idle, stack, IDLE_S + REPORT_S)
