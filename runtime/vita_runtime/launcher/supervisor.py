"""Keeps one part running: starts it, makes sure it works, watches it, and starts it again when it died.

Death is noticed at once: of the process by waiting for it, of Triton's stub (whose parent stays "ready" without it)
through a pidfd. A part that lives but does not answer is found by pings. A restart uses the same command, hence the
same ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from vita_runtime.errors import StartupError
from vita_runtime.launcher.parts import Part, Probe
from vita_runtime.launcher.probes import NotWell
from vita_runtime.launcher.reaper import remove_shared_memory

logger = logging.getLogger(__name__)

START_S = 180.0  # 15 s for a whole stack on two idle cores; on cores shared with a training run ten times that
START_POLL_S = 0.15  # each costs the cores that the parts need to start
PING_EVERY_S = 1.5
MISSES = 3  # pings in a row; together with their deadline about 10 s, for a hang only: deaths are seen at once
STEADY_S = 10.0  # having run this long, a part that dies is restarted without waiting
LONGEST_WAIT_S = 5.0  # between restarts of a part that keeps dying


class State(StrEnum):
    """What a part is doing."""

    STARTING = "starting"
    HEALTHY = "healthy"
    STOPPED = "stopped"


class Supervisor:
    """One part and its process."""

    def __init__(self, part: Part, log: Path, environment: dict[str, str], when_changed: Callable[[], None]) -> None:
        self.part = part
        self.log = log
        self.state = State.STOPPED
        self.pid = 0
        self.restart_count = 0
        self._environment = environment
        self._when_changed = when_changed
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False

    async def start(self) -> None:
        """Start the process and return when it has done its first request.

        Raises:
            StartupError: it ended, or did not become healthy in START_S; nothing of it is left.
        """
        self.log.unlink(missing_ok=True)
        await self._spawn()
        await self._become_healthy(self.part.first_request)

    async def watch(self) -> None:
        """Keep the started part running, until cancelled or `stop`ped."""
        wait_s = 0.0
        while not self._is_stopping:
            since = time.monotonic()
            cause = await self._death()
            if self._is_stopping:
                return
            logger.warning("part died", extra={"part": self.part.name, "pid": self.pid, "cause": cause})
            wait_s = 0.0 if time.monotonic() - since > STEADY_S else min(LONGEST_WAIT_S, wait_s * 2 or 0.1)
            self._kill()
            await asyncio.sleep(wait_s)
            await self._restart()

    async def stop(self, grace_s: float) -> None:
        """End the process group: SIGTERM, and SIGKILL after `grace_s`."""
        self._is_stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            self._kill()
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_s)
        self._kill()
        await process.wait()
        self._change(State.STOPPED)

    async def _restart(self) -> None:
        """Start the process again; what goes wrong is left to the next round of `watch`."""
        self.restart_count += 1
        await self._spawn()
        with contextlib.suppress(StartupError):
            # What the part needs may itself be down, so a ping is enough where the first start asked for more.
            await self._become_healthy(self.part.ping)
            logger.info("part restarted", extra={"part": self.part.name, "pid": self.pid})

    async def _spawn(self) -> None:
        if self.part.shm_prefix:
            remove_shared_memory(self.part.shm_prefix)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment | dict(self.part.environment),
                start_new_session=True,  # a group of its own: Ctrl-C is for the launcher, and stubs die with it
            )
        self.pid = self._process.pid
        self._change(State.STARTING)

    async def _become_healthy(self, probe: Probe) -> None:
        """Probe until it succeeds."""
        assert self._process  # _spawn comes first
        give_up = time.monotonic() + START_S
        problem = "it did not answer"
        while time.monotonic() < give_up and self._process.returncode is None and not self._is_stopping:
            try:
                await probe()
            except NotWell as error:
                problem = str(error)
                await asyncio.sleep(START_POLL_S)
            else:
                self._change(State.HEALTHY)
                return
        if self._process.returncode is not None:
            problem = _last_words(self.log) or f"it exited with {self._process.returncode}"
        self._kill()
        raise StartupError(f"{self.part.name} could not start: {problem} (log: {self.log})")

    async def _death(self) -> str:
        """Return what the part died of, when it has."""
        assert self._process  # watch comes after start
        tasks = {
            asyncio.create_task(self._exit()),
            asyncio.create_task(self._hang()),
            asyncio.create_task(self._stub_death()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _exit(self) -> str:
        assert self._process
        return f"exit status {await self._process.wait()}"

    async def _hang(self) -> str:
        misses = 0
        while misses < MISSES:
            await asyncio.sleep(PING_EVERY_S)
            try:
                await self.part.ping()
                misses = 0
                if self.state is not State.HEALTHY:
                    self._change(State.HEALTHY)
            except NotWell as error:
                misses += 1
                problem = str(error)
                if "Stub process" in problem and "not healthy" in problem:
                    return problem
        return f"{MISSES} pings without an answer"

    async def _stub_death(self) -> str:
        """Wait for the end of any child of Triton's."""
        children = _children(self.pid) if self.part.has_stub else []
        if not children:
            await asyncio.get_running_loop().create_future()  # never: there is no stub to watch
        died = asyncio.Event()
        with contextlib.ExitStack() as watches:
            for pid in children:
                watches.enter_context(_when_gone(pid, died.set))
            await died.wait()
        return "the stub process ended"

    def _kill(self) -> None:
        """SIGKILL what is left of the process group."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        if self.part.shm_prefix:
            remove_shared_memory(self.part.shm_prefix)

    def _change(self, state: State) -> None:
        self.state = state
        self._when_changed()


@contextlib.contextmanager
def _when_gone(pid: int, callback: Callable[[], None]) -> Iterator[None]:
    """Call back when process `pid` ends; at once if it has."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        callback()
        yield
        return
    loop.add_reader(descriptor, callback)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _children(pid: int) -> list[int]:
    """Return the child processes of `pid`, whichever of its threads started them."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):  # threads come and go
            found += map(int, (thread / "children").read_text().split())
    return found


def _last_words(log: Path) -> str:
    """Return the line of a log that most likely says why the process ended."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E1", "E0", "error:")) or "Error" in line]
    return (errors or lines or [""])[-1][:300]
