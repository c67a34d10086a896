"""Row 16: bytes on the wire for each byte of sound, picture, embedding, code or word, on every edge.

Proxies between the processes count what passes: gRPC's and WebSocket's own bytes are in it, TCP's and IP's are not.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import grpc.aio
import websockets
from vita_runtime.errors import StartupError
from vita_runtime.launcher.ports import LOOPBACK, free_ports

from vita_evaluation.plumbing.arithmetic import Spread
from vita_evaluation.plumbing.pairs import Bench
from vita_evaluation.plumbing.rig import Orchestrator, Rig, Servers, child
from vita_evaluation.plumbing.table import Row, Target
from vita_evaluation.plumbing.turns import Question, Turn, ask, sound_of

TURNS = 3
QUESTION = Question(seconds=5.0, speed=8.0, is_whole=True)
IDLE_S = 2.0  # pings, which belong to no turn, are counted alone first
DEADLINE_S = 30.0
READ_BYTES = 2**16
WIDTHS = {"384": "tiny", "3584": "full size"}  # of an embedding


@dataclass(slots=True)
class Proxy:
    """Hands bytes on and counts them."""

    to: str
    address: str = ""
    byte_count: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        host, port = self.to.split(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._pass(reader, up_writer), self._pass(up_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(READ_BYTES):
                self.byte_count += len(part)
                writer.write(part)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def proxy(to: str) -> AsyncGenerator[Proxy]:
    """Listen inside the block."""
    one = Proxy(to)
    server = await asyncio.start_server(one.meet, LOOPBACK, 0)
    one.address = f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()


async def rows(bench: Bench) -> list[Row]:
    """Measure the edges within, for both sizes of the model, then those before them."""
    found: list[Row] = []
    for width, size in WIDTHS.items():
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(bench.rig.servers("zero", "--width", width))
            proxies = {
                name: [await stack.enter_async_context(proxy(address)) for address in addresses]
                for name, addresses in servers.endpoints.items()
            }
            behind = {name: [one.address for one in these] for name, these in proxies.items()}
            orchestrator = await stack.enter_async_context(bench.rig.orchestrator(behind))
            found.append(
                await _within(servers, orchestrator, [one for these in proxies.values() for one in these], size)
            )
            if len(found) == len(WIDTHS):
                front = await stack.enter_async_context(proxy(orchestrator.address))
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(front.address))
                found += [await _conversation(channel, front), await _websocket(bench.rig, orchestrator)]
    return found


async def _within(servers: Servers, orchestrator: Orchestrator, proxies: list[Proxy], size: str) -> Row:
    """Between the orchestrator and its components."""
    await ask(orchestrator.channel, QUESTION)
    start = sum(one.byte_count for one in proxies)
    await asyncio.sleep(IDLE_S)
    idle_bytes_per_s = (sum(one.byte_count for one in proxies) - start) / IDLE_S
    await servers.child.report()
    loop = asyncio.get_running_loop()
    start, start_s = sum(one.byte_count for one in proxies), loop.time()
    for _ in range(TURNS):
        await ask(orchestrator.channel, QUESTION)
    wire_bytes = sum(one.byte_count for one in proxies) - start - idle_bytes_per_s * (loop.time() - start_s)
    payload = (await servers.child.report())["payload_bytes"]
    assert isinstance(payload, int), "so it is reported"
    return _row(f"orchestrator ⇄ components, {size}", wire_bytes, payload, Target(1.02))


async def _conversation(channel: grpc.aio.Channel, front: Proxy) -> Row:
    """Between the gateway's place and the orchestrator."""
    await ask(channel, QUESTION)
    start, turn = front.byte_count, Turn()
    for _ in range(TURNS):
        turn = await ask(channel, QUESTION)
    payload = TURNS * (len(sound_of(QUESTION.seconds)) + len(turn.sound))
    return _row("gateway ⇄ orchestrator", front.byte_count - start, payload, Target(1.05))


async def _websocket(rig: Rig, orchestrator: Orchestrator) -> Row:
    """Between a client of the Realtime API and the gateway: JSON with base64 is what that API is made of."""
    (port,) = free_ports(1)
    listen = f"{LOOPBACK}:{port}"
    settings = {"VITA_GATEWAY_LISTEN": listen, "VITA_GATEWAY_ORCHESTRATOR_ADDRESS": orchestrator.address}
    async with child(rig.python("vita_gateway.main"), rig.folder, settings), proxy(listen) as front:
        await _listening(listen)
        payload = await _realtime_turn(f"ws://{front.address}/v1/realtime?model=vita")
        note = "The Realtime API's sound is base64 in JSON: 1.33 at the least. There is no binary WebSocket."
        return _row("client ⇄ gateway (Realtime API)", front.byte_count, payload, Target(1.05), note)


async def _realtime_turn(url: str) -> int:
    """Hold a turn; return the bytes of sound in both directions."""
    heard, question = 0, sound_of(QUESTION.seconds)
    sound = question + question[: len(question) // 2]  # 24 kHz there
    async with asyncio.timeout(DEADLINE_S), websockets.connect(url, proxy=None) as client:
        manual = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await client.send(json.dumps({"type": "session.update", "session": manual}))
        size = 24_000 * 2 // 10
        for at in range(0, len(sound), size):
            part = base64.b64encode(sound[at : at + size]).decode()
            await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": part}))
        for kind in ("input_audio_buffer.commit", "response.create"):
            await client.send(json.dumps({"type": kind}))
        async for message in client:
            event = json.loads(message)
            if event["type"] == "error":
                raise StartupError(f"the gateway refused the bench's turn: {event['error'].get('message')}")
            if event["type"] == "response.output_audio.delta":
                heard += len(base64.b64decode(event["delta"]))
            if event["type"] == "response.done":
                break
    return len(sound) + heard


async def _listening(address: str) -> None:
    host, port = address.split(":")
    for _ in range(200):
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise StartupError("the gateway of the bench did not start")


def _row(edge: str, wire_bytes: float, payload: float, target: Target, note: str = "") -> Row:
    ratio = wire_bytes / payload
    shown = (f"{wire_bytes / 2**20:.2f} MB", f"{payload / 2**20:.2f} MB")
    return Row("16", f"wire / payload: {edge}", Spread(ratio, ratio, ratio), target, "", *shown, note=note)
