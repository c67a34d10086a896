"""A whole stack on one machine: Redis, five Tritons, orchestrator and gateway, on loopback, in one folder.

    async with running(Options(state_dir=Path(".vita"))) as stack:
        print(stack.url)
        await stack.failure()

Everything a stack leaves on the machine is under its state folder or carries its id, and is gone when the block ends,
but for the logs. The same holds when the launcher is killed (reaper.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vita_runtime.errors import StartupError
from vita_runtime.launcher import reaper
from vita_runtime.launcher.installation import Installation, find, home
from vita_runtime.launcher.parts import Part, gateway_part, orchestrator_part, redis_part, triton_part
from vita_runtime.launcher.ports import LOOPBACK, free_ports, is_free
from vita_runtime.launcher.repository import COMPONENTS, render
from vita_runtime.launcher.supervisor import Supervisor

PARTS = ("redis", *COMPONENTS, "orchestrator", "gateway")
STOP_GRACE_S = 5.0  # each of three rounds: gateway and orchestrator, Tritons, Redis
LOCK_S = 10.0  # the reaper of a killed stack may still be clearing up
LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107


@dataclass(frozen=True, slots=True)
class Options:
    """What to start, and from what."""

    state_dir: Path
    checkpoint: Path
    port: int = 0  # of the gateway; 0 finds one
    only: tuple[str, ...] = PARTS
    device: str = "cpu"
    threads: int = 1  # torch threads of each component
    model_repo: Path | None = None  # instead of the checkout's
    settings: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict[str, Mapping[str, str]]
    )  # by component or "orchestrator"


class Stack:
    """The running parts."""

    def __init__(self, stack_file: Path, supervisors: list[Supervisor]) -> None:
        self.supervisors = supervisors
        self.is_ready = False
        self._file = stack_file
        self._watches: asyncio.Future[list[None]] | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def url(self) -> str | None:
        """Where the gateway is; None without one."""
        gateways = [s.part.addresses["http"] for s in self.supervisors if s.part.name == "gateway"]
        return f"http://{gateways[0]}" if gateways else None

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change of a part's state."""
        self._listeners.append(listener)

    def write(self) -> None:
        """Bring the stack file up to date."""
        parts = {s.part.name: {"pid": s.pid, "state": s.state.value, **s.part.addresses} for s in self.supervisors}
        document = {"ready": self.url if self.is_ready else None, "pid": os.getpid(), "parts": parts}
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(document, indent=2) + "\n")
        draft.replace(self._file)
        for listener in self._listeners:
            listener()

    async def start(self) -> None:
        """Start Redis, then all others at once; return when each has done a real request.

        Raises:
            StartupError: a part could not start.
        """
        first = [s for s in self.supervisors if s.part.name == "redis"]
        rest = [s for s in self.supervisors if s.part.name != "redis"]
        for group in (first, rest):
            await _all_or_first_error([supervisor.start() for supervisor in group])
        self.is_ready = True
        self.write()
        self._watches = asyncio.gather(*(supervisor.watch() for supervisor in self.supervisors))

    async def failure(self) -> None:
        """Wait as long as supervision works; raises what stopped it."""
        assert self._watches  # start comes first
        await self._watches

    async def stop(self) -> None:
        """Stop the parts, those first that use the others."""
        for order in sorted({s.part.stop_after for s in self.supervisors}):
            group = [s for s in self.supervisors if s.part.stop_after == order]
            await asyncio.gather(*(supervisor.stop(STOP_GRACE_S) for supervisor in group))
        if self._watches:
            self._watches.cancel()
            await asyncio.gather(self._watches, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(options: Options) -> AsyncIterator[Stack]:
    """Give a stack that is to be `start`ed, and clear up after it.

    Raises:
        StartupError: something that it needs is missing, or the state folder belongs to a running stack.
    """
    unknown = sorted(set(options.only) - set(PARTS))
    if unknown:
        raise StartupError(f"there is no part {unknown[0]!r}; parts are {', '.join(PARTS)}")
    installation = find(
        os.environ, needs_triton=bool(set(options.only) & set(COMPONENTS)), needs_redis="redis" in options.only
    )
    options.state_dir.mkdir(parents=True, exist_ok=True)
    stack_id = secrets.token_hex(4)
    with _lock(options.state_dir) as lock, _run_dir(options.state_dir) as run_dir:
        stack_file = options.state_dir / "stack.json"
        with _reaper(stack_id, run_dir, stack_file, lock):
            parts = _parts(options, installation, stack_id, run_dir)
            logs = options.state_dir / "logs"
            logs.mkdir(exist_ok=True)
            environment = {**os.environ, reaper.TAG: stack_id}
            supervisors: list[Supervisor] = []
            stack = Stack(stack_file, supervisors)
            supervisors += [Supervisor(part, logs / f"{part.name}.log", environment, stack.write) for part in parts]
            try:
                yield stack
            finally:
                await stack.stop()


def _parts(options: Options, installation: Installation, stack_id: str, run_dir: Path) -> list[Part]:
    """Render what must be rendered and describe the parts that are wanted."""
    components = [name for name in COMPONENTS if name in options.only]
    # Ports of parts that are left out are left out too.
    ports = iter(free_ports(3 * len(components) + 3))
    parts: list[Part] = []
    socket = run_dir / "redis" / "redis.sock"
    if "redis" in options.only:
        socket.parent.mkdir(mode=0o700)
        parts.append(redis_part(installation, socket.parent, socket))
    endpoints: dict[str, str] = {}
    for component in components:
        repository = run_dir / "repository" / component
        settings = {"threads": str(options.threads), **options.settings.get(component, {})}
        source = options.model_repo or installation.model_repo
        render(component, source, options.checkpoint, repository, device=options.device, settings=settings)
        prefix = reaper.shared_memory_prefix(stack_id, component)
        part = triton_part(component, installation, repository, (next(ports), next(ports), next(ports)), prefix)
        endpoints[component] = part.addresses["grpc"]
        parts.append(part)
    if "orchestrator" in options.only:
        settings = options.settings.get("orchestrator", {})
        parts.append(orchestrator_part((next(ports), next(ports)), f"unix://{socket}", endpoints, settings))
    if "gateway" in options.only:
        orchestrator = next((part.addresses["grpc"] for part in parts if part.name == "orchestrator"), f"{LOOPBACK}:1")
        if options.port and not is_free(options.port):
            raise StartupError(f"port {options.port} is taken; choose another with --port, or leave it out")
        parts.append(gateway_part(options.port or next(ports), orchestrator))
    return parts


async def _all_or_first_error(starts: list[Coroutine[object, object, None]]) -> None:
    """Run all; the first that fails cancels the others and its error is raised."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _lock(state_dir: Path) -> Iterator[int]:
    """Own the state folder; the lock is on the folder itself, so that nothing is left of it."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        give_up = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if _owner_is_alive(state_dir) or time.monotonic() > give_up:
                    raise StartupError(
                        f"a stack is running with {state_dir}; stop it with `vita down`, or use another --state-dir"
                    ) from error
                time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def _owner_is_alive(state_dir: Path) -> bool:
    """Say whether the launcher that wrote the stack file lives."""
    try:
        pid = int(json.loads((state_dir / "stack.json").read_text())["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


@contextlib.contextmanager
def _run_dir(state_dir: Path) -> Iterator[Path]:
    """Give an empty folder of mode 0700 for what lives as long as the stack; its path is short enough for sockets."""
    run_dir = state_dir.resolve() / "run"
    if len(os.fsencode(run_dir / "redis" / "redis.sock")) > LONGEST_SOCKET_PATH:
        run_dir = Path(tempfile.mkdtemp(prefix="vita-"))
    reaper.remove_tree(run_dir)
    run_dir.mkdir(mode=0o700)
    try:
        yield run_dir
    finally:
        reaper.remove_tree(run_dir)


@contextlib.contextmanager
def _reaper(stack_id: str, run_dir: Path, stack_file: Path, lock: int) -> Iterator[None]:
    """Have the reaper stand by; after the block, let it do its work and wait for it."""
    command = [sys.executable, "-I", "-S", reaper.__file__, stack_id, str(run_dir), str(stack_file.resolve())]
    # It holds the lock too: nobody starts here before it is done.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, pass_fds=(lock,))
    try:
        yield
    finally:
        assert process.stdin  # a pipe was asked for
        process.stdin.close()
        process.wait()


def default_checkpoint() -> Path:
    """Return the checkpoint that the repository ships."""
    return home() / "checkpoints" / "tiny"
