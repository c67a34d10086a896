"""The bench's processes: Redis, modelled components, orchestrators, raw programs; all end with their block."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
from vita_components.connect import NAMES
from vita_runtime.errors import StartupError
from vita_runtime.launcher.installation import redis_server
from vita_runtime.launcher.ports import LOOPBACK, free_ports

READY_S = 30.0
STOP_S = 10.0
REPORT_BYTES = 64 * 2**20  # a line of it
MAX_SESSIONS = 600
_numbers = itertools.count()  # of logs
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Child:
    """A process of ours."""

    process: asyncio.subprocess.Process
    log: Path
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def cpu_s(self) -> float:
        """Return the CPU time it has used, all threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def run_s(self) -> float:
        """Return the same, to the nanosecond, of the threads that are still there: for short times."""
        return (
            sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{self.pid}/task").glob("*/schedstat")) / 1e9
        )

    def memory_bytes(self) -> int:
        """Return its resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    async def line(self) -> dict[str, object]:
        """Return the next line of its output. Raises StartupError: it has ended, or says nothing."""
        assert self.process.stdout is not None, "its output is piped"
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), READY_S)
            return json.loads(line)
        except (TimeoutError, ValueError) as error:
            raise StartupError(f"a process of the bench does not answer:\n{self.log.read_text()[-2000:]}") from error

    async def report(self) -> dict[str, object]:
        """Return what a helper process has noted since the last report."""
        assert self.process.stdin is not None, "its input is piped"
        async with self.asking:
            self.process.stdin.write(b"report\n")
            await self.process.stdin.drain()
            return await self.line()


@asynccontextmanager
async def child(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Child]:
    """Run a program inside the block; its words for people go to a log in `folder`."""
    log = folder / f"{next(_numbers)}.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0", **(environment or {})},
            limit=REPORT_BYTES,
        )
    try:
        yield Child(process, log)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


@dataclass(frozen=True, slots=True)
class Servers:
    """Modelled components in a process."""

    child: Child
    endpoints: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """An orchestrator process."""

    child: Child
    address: str
    metrics: str
    channel: grpc.aio.Channel

    async def metric(self, name: str, *labels: str) -> float:
        """Return the sum of the samples of this name that have all these labels, as `name="value"`."""
        return sum(value for line, value in await self.metrics_of(name) if all(label in line for label in labels))

    async def metrics_of(self, name: str) -> list[tuple[str, float]]:
        """Return samples of this name: the line without its value, and the value."""
        host, port = self.metrics.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        pairs = [line.rpartition(" ") for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return [(line, float(value)) for line, _, value in pairs]


@dataclass(slots=True)
class Rig:
    """Starts processes; what is started on its stack ends with it."""

    folder: Path  # for logs and sockets
    redis_socket: Path

    def python(self, module: str, *arguments: str) -> list[str]:
        """Return the command that runs a module."""
        return [sys.executable, "-m", module, *arguments]

    @asynccontextmanager
    async def servers(self, costs: str, *arguments: str) -> AsyncGenerator[Servers]:
        """Run the modelled components."""
        command = self.python("vita_evaluation.plumbing.servers", "--costs", costs, *arguments)
        async with child(command, self.folder) as process:
            line = await process.line()
            yield Servers(process, {name: [str(one) for one in _list(line[name])] for name in NAMES})

    @asynccontextmanager
    async def raw(self, role: str, to: str = "") -> AsyncGenerator[tuple[Child, str]]:
        """Run a raw program; give its process and its address."""
        command = self.python("vita_evaluation.plumbing.raw", role, *(["--to", to] if to else []))
        async with child(command, self.folder) as process:
            yield process, str((await process.line())[role])

    @asynccontextmanager
    async def orchestrator(
        self, endpoints: Mapping[str, Sequence[str]], in_process: Sequence[str] = (), **settings: str
    ) -> AsyncGenerator[Orchestrator]:
        """Run an orchestrator, or, with arguments for it, one that has the components within (in_process.py)."""
        listen, metrics = (f"{LOOPBACK}:{port}" for port in free_ports(2))
        environment = {
            "VITA_ORCHESTRATOR_LISTEN": listen,
            "VITA_ORCHESTRATOR_METRICS_LISTEN": metrics,
            "VITA_ORCHESTRATOR_REDIS_URL": f"unix://{self.redis_socket}",
            "VITA_ORCHESTRATOR_MAX_SESSIONS": str(MAX_SESSIONS),
            "VITA_ORCHESTRATOR_LOG_LEVEL": "WARNING",
            **{f"VITA_ORCHESTRATOR_{name.upper()}_ENDPOINTS": ",".join(endpoints[name]) for name in NAMES},
            **settings,
        }
        command = self.python("vita_orchestrator.main")
        if in_process:
            command = self.python("vita_evaluation.plumbing.in_process", *in_process)
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(child(command, self.folder, environment))
            await _ready(metrics, process)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(listen))
            yield Orchestrator(process, listen, metrics, channel)


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Run a Redis of our own inside the block."""
    socket = folder / "redis.sock"
    command = [str(redis_server()), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    async with child(command, folder):
        await _until(socket.exists, "Redis")
        yield Rig(folder, socket)


async def _ready(metrics: str, process: Child) -> None:
    """Wait until a process says that it is. Raises StartupError."""
    host, port = metrics.split(":")
    deadline_s = asyncio.get_running_loop().time() + READY_S
    while asyncio.get_running_loop().time() < deadline_s and process.process.returncode is None:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
            answer = await reader.read()
            writer.close()
            if answer.startswith(b"HTTP/1.1 200"):
                return
        except OSError:
            pass
        await asyncio.sleep(0.05)
    raise StartupError(f"an orchestrator of the bench did not start:\n{process.log.read_text()[-2000:]}")


async def _until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something holds. Raises StartupError: it does not in time."""
    deadline_s = asyncio.get_running_loop().time() + READY_S
    while not condition():
        if asyncio.get_running_loop().time() > deadline_s:
            raise StartupError(f"{what} did not start")
        await asyncio.sleep(0.02)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []  # pyright: ignore[reportUnknownArgumentType]
