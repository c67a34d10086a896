"""What all tests share: one real stack, one real Redis, and the account of what was not run."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from vita_runtime.launcher.installation import redis_server

from tests.stack import COMPONENTS, PARTS, ROOT, RunningStack, checkpoint_folder, running_stack, wait_until

# Cheap tests first: a wrong table should not wait for five Tritons.
MARKERS = ("unit", "redis", "triton", "clients", "browser", "helm", "gpu", "slow")
WHERE_SLOW_RUNS = {"slow": "`make test-slow`"}

_deselected: Counter[str] = Counter()


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder with a short path, for the paths of unix sockets are limited to 107 characters."""
    with tempfile.TemporaryDirectory(prefix="vita-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def checkpoint(scratch: Path) -> Path:
    """Weights of the tiny model: the trained ones if they are there, else random."""
    return checkpoint_folder(scratch / "checkpoint")


@pytest.fixture(scope="session")
def triton() -> None:
    """Skips where Triton's server has not been unpacked."""
    if not (ROOT / ".vita" / "triton" / ".stamp").is_file():
        pytest.skip("Triton's server is not unpacked; run `make setup`")


@pytest.fixture(scope="session")
def stack(triton: None, scratch: Path, checkpoint: Path) -> Iterator[RunningStack]:
    """The whole real stack, shared by all tests that do not harm it. It records sessions that ask for it."""
    environment = {"VITA_ORCHESTRATOR_RECORDING_DIR": str(scratch / "stack" / "recordings")}
    with running_stack(scratch / "stack", checkpoint, existing_parts(), environment) as running:
        yield running


@pytest.fixture(scope="module")
def own_stack(triton: None, scratch: Path, checkpoint: Path, request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """A second whole stack, for the tests of one module that kill things."""
    name = f"own-{request.module.__name__.rpartition('.')[2]}"
    with running_stack(scratch / name, checkpoint, existing_parts()) as running:
        yield running


@pytest.fixture(scope="session")
def redis_socket(scratch: Path) -> Iterator[Path]:
    """A real Redis server's unix socket."""
    folder = scratch / "redis"
    folder.mkdir()
    socket = folder / "redis.sock"
    command = [str(redis_server()), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, 10, "Redis")
        yield socket
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def redis_url(redis_socket: Path) -> str:
    """The URL of a real Redis server, empty at the start of each test."""
    with Redis(unix_socket_path=str(redis_socket)) as client:
        client.flushall()
    return f"unix://{redis_socket}"


def existing_parts() -> tuple[str, ...]:
    """Return the parts whose programs are in this checkout."""
    is_complete = all(importlib.util.find_spec(main) for main in ("vita_orchestrator.main", "vita_gateway.main"))
    return PARTS if is_complete else ("redis", *COMPONENTS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order tests by marker, cheap ones first; within a marker as they stand."""
    items.sort(key=lambda item: MARKERS.index(_marker(item)) if _marker(item) in MARKERS else 0)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count what `-m` leaves out."""
    _deselected.update(_marker(item) for item in items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not run, and why."""
    for marker, count in sorted(_deselected.items()):
        where = WHERE_SLOW_RUNS.get(marker, "left out by -m or -k")
        terminalreporter.write_line(f"not run: {count} tests marked {marker}: {where}")


def _marker(item: pytest.Item) -> str:
    return next((mark.name for mark in item.iter_markers() if mark.name in MARKERS), "")
