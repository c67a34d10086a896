"""A stack whose components are servers of this process, so that each can be killed, hung, slowed or spoiled on cue.

Redis, orchestrator and gateway are processes; each stack has its own, so stacks do not feel each other's faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from vita_components.connect import NAMES
from vita_replay.faults import Garbage
from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC
from vita_replay.modelled.llm import LlmSettings
from vita_replay.pace import Pace
from vita_runtime.launcher import probes
from vita_runtime.launcher.installation import redis_server

START_S = 40.0  # of a process beside a dozen others that start
FIRST = "It is a star."
SECOND = "A red star shines over the sea, and a small boat sails home."  # 4.4 s
# The second question gets the second answer only in a context that holds the first.
COSTS, ANSWERS = REALISTIC.scaled(10), (FIRST, SECOND)
SLOW_FACTOR, SLOW_REPLY_S = 5.0, 0.2  # an answer of 13 words then takes 5 s instead of 0.4 s


@dataclass
class Process:
    """One of ours, on a fixed address, so that it comes back where it was."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    probe: Callable[[], Awaitable[object]]
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            environment = {**os.environ, **self.environment}
            self.running = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)

    async def ready(self) -> None:
        """Wait until it serves."""
        give_up = time.monotonic() + START_S
        while True:
            try:
                async with asyncio.timeout(2.0):
                    await self.probe()
                    return
            except Exception as error:
                if self.running is None or self.running.poll() is not None or time.monotonic() > give_up:
                    end = self.log.read_text()[-800:]
                    raise AssertionError(f"{self.command[-1]} does not serve: {error!r}\n{end}") from error
                await asyncio.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a killed process is gone when this returns."""
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(number)
            if number is signal.SIGKILL:
                self.running.wait(timeout=10)


@dataclass
class FaultStack:
    """One stack."""

    servers: dict[str, list[ComponentServer]]
    redis: Process
    orchestrator: Process
    gateway: Process
    url: str
    killed: list[ComponentServer] = field(default_factory=list)

    def strike(self, server: ComponentServer, fault: str, garbage: Garbage) -> None:
        """Do to a server what the fault says."""
        match fault:
            case "killed":
                self.killed.append(server)
                server.kill()
            case "hung":
                server.faults.hang()
            case "slow":
                server.faults.slow(SLOW_FACTOR, SLOW_REPLY_S)
            case _:
                server.faults.garble(garbage)

    async def heal(self) -> None:
        """Have all servers well again."""
        killed, self.killed = self.killed, []
        for server in (one for replicas in self.servers.values() for one in replicas):
            server.faults.heal()
            if server in killed:
                await server.stop()
                await server.start()

    async def well(self) -> None:
        """Wait until every process serves, and the orchestrator finds every component well."""
        for process in (self.redis, self.orchestrator, self.gateway):
            await process.ready()


@contextlib.asynccontextmanager
async def fault_stack(folder: Path, replica_count: int) -> AsyncIterator[FaultStack]:
    """Run a stack, with so many replicas of each component, inside the block."""
    folder.mkdir()  # noqa: ASYNC240  # nothing else waits yet
    ports = {name: f"127.0.0.1:{_free_port()}" for name in ("orchestrator", "metrics", "gateway")}
    async with _component_servers(replica_count) as servers:
        redis, orchestrator, gateway = _redis(folder), _orchestrator(folder, ports, servers), _gateway(folder, ports)
        stack = FaultStack(servers, redis, orchestrator, gateway, f"http://{ports['gateway']}")
        try:
            for process in (redis, orchestrator, gateway):
                process.start()
            await stack.well()
            yield stack
        finally:
            for process in (gateway, orchestrator, redis):
                process.signal(signal.SIGCONT)
                process.signal(signal.SIGKILL)
            await stack.heal()


@contextlib.asynccontextmanager
async def _component_servers(replica_count: int) -> AsyncIterator[dict[str, list[ComponentServer]]]:
    servers = {name: [_server(name) for _ in range(replica_count)] for name in NAMES}
    every = [server for replicas in servers.values() for server in replicas]
    try:
        for server in every:
            await server.start()
        yield servers
    finally:
        for server in every:
            await server.stop()


def _server(component: str) -> ComponentServer:
    pace = Pace()
    return ComponentServer(component, Modelled(COSTS, llm=LlmSettings(ANSWERS)).behaviour(component, pace), pace)


def _redis(folder: Path) -> Process:
    path = folder / "redis.sock"
    command = [str(redis_server()), "--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]

    async def answers() -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"PING\r\n")
            assert await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()
            await writer.wait_closed()

    return Process(command, {}, folder / "redis.log", answers)


def _orchestrator(
    folder: Path, addresses: Mapping[str, str], servers: Mapping[str, Sequence[ComponentServer]]
) -> Process:
    prefix = "VITA_ORCHESTRATOR_"
    environment = {
        f"{prefix}LISTEN": addresses["orchestrator"],
        f"{prefix}METRICS_LISTEN": addresses["metrics"],
        f"{prefix}REDIS_URL": f"unix://{folder / 'redis.sock'}",
        **{
            f"{prefix}{name.upper()}_ENDPOINTS": ",".join(server.address for server in replicas)
            for name, replicas in servers.items()
        },
    }

    count = sum(len(replicas) for replicas in servers.values())

    async def is_serving() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{addresses['metrics']}/readyz")).status_code == 200
            figures = (await client.get(f"http://{addresses['metrics']}/metrics")).text.splitlines()
        well = [line for line in figures if line.startswith("vita_endpoint_well{") and line.endswith(" 1.0")]
        assert len(well) == count, f"{len(well)} of {count} endpoints are well"

    command = [sys.executable, "-m", "vita_orchestrator.main"]
    return Process(command, environment, folder / "orchestrator.log", is_serving)


def _gateway(folder: Path, addresses: Mapping[str, str]) -> Process:
    environment = {
        "VITA_GATEWAY_LISTEN": addresses["gateway"],
        "VITA_GATEWAY_ORCHESTRATOR_ADDRESS": addresses["orchestrator"],
    }
    command = [sys.executable, "-m", "vita_gateway.main"]
    return Process(
        command, environment, folder / "gateway.log", lambda: probes.http_ok(addresses["gateway"], "/healthz")
    )


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
