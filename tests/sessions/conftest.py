"""Both stores, behind one fixture; Redis is a real server on a unix socket of its own."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from vita_runtime.launcher.installation import redis_server as redis_server_binary
from vita_sessions.redis_store import RedisStore
from vita_sessions.store import Lifetimes


class RedisServer:
    """A Redis that a test may stop and start."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                str(redis_server_binary()),
                "--port",
                "0",
                "--unixsocket",
                str(self.socket),
                "--unixsocketperm",
                "700",
                "--save",
                "",
            ],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + 10
        while not self.socket.exists():
            assert time.monotonic() < deadline_s, "Redis did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def redis_folder() -> Iterator[Path]:
    """Short: a socket's path may have no more than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="vita-redis-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def redis_server(redis_folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(redis_folder)
    server.start()
    yield server
    server.stop()


MakeRedisStore = Callable[..., RedisStore]


@pytest.fixture
async def redis_store(redis_server: RedisServer) -> AsyncIterator[MakeRedisStore]:
    """Makes stores, each with its own connections: processes of their own, as far as Redis can tell."""
    stores: list[RedisStore] = []

    def make(lifetimes: Lifetimes | None = None, **settings: float) -> RedisStore:
        stores.append(RedisStore(redis_server.url, lifetimes, **settings))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()
