"""A gateway in this process, a client that takes notes, and media to send."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import numpy as np
import soundfile
import websockets
from PIL import Image
from vita_gateway.app import Gateway
from vita_gateway.main import listening_socket, server_for
from vita_gateway.settings import Settings
from websockets.asyncio.client import ClientConnection

Event = dict[str, object]
StartGateway = Callable[..., AbstractAsyncContextManager["Running"]]


@dataclass
class Running:
    """A gateway that serves."""

    port: int
    gateway: Gateway

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, query: str = "?model=vita", **options: object) -> websockets.connect:
        """Open a Realtime session."""
        return websockets.connect(
            f"ws://127.0.0.1:{self.port}/v1/realtime{query}",
            compression=None,
            **options,  # type: ignore[arg-type]
        )


async def until(is_so: Callable[[], object], timeout_s: float = 3.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for is another component's state
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """Serve a gateway inside the block."""
    bound = listening_socket("127.0.0.1:0")
    port: int = bound.getsockname()[1]
    gateway = Gateway(settings)
    server = server_for(gateway)
    task = asyncio.create_task(server.serve([bound]))
    await until(lambda: server.started)
    try:
        yield Running(port, gateway)
    finally:
        gateway.draining.set()
        await gateway.realtime.wait_until_empty(2.0)
        server.should_exit = server.force_exit = True  # a test need not wait for idle connections
        await task


class Talker:
    """A Realtime client that takes down what it hears."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[Event] = []

    async def send(self, kind: str, **fields: object) -> None:
        """Send one event."""
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def next(self) -> Event:
        """Receive one event."""
        async with asyncio.timeout(5):
            event: Event = json.loads(await self.socket.recv())
        self.events.append(event)
        return event

    async def until(self, *kinds: str) -> Event:
        """Receive until an event of one of these kinds, and return it."""
        while True:
            event = await self.next()
            if event["type"] in kinds:
                return event

    @property
    def kinds(self) -> list[str]:
        """The types of what was received, in order."""
        return [str(event["type"]) for event in self.events]


def wav(
    seconds: float = 0.5, rate_hz: int = 16_000, channels: int = 1, subtype: str = "PCM_16", level: float = 0.3
) -> bytes:
    """Return a WAV with a tone."""
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    tone = (level * np.sin(2 * np.pi * 220 * times)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, np.repeat(tone[:, None], channels, axis=1), rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


def picture(kind: str = "PNG", size: tuple[int, int] = (32, 24)) -> bytes:
    """Return a picture with some detail in it."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()
