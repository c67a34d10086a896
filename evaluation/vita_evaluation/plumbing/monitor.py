"""What Redis is asked, told by Redis itself (MONITOR), and a Redis that stands still (CLIENT PAUSE)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

# Health checks, connections, and what scripts do inside Redis: no round trips of a turn's.
NOT_OF_A_TURN = (b'"PING"', b'"ping"', b'"CLIENT"', b'"client"', b" lua] ")
HEAD_BYTES = 200  # of a line: the command stands there; a user's sound may follow
LINE_BYTES = 64 * 2**20  # a line holds a whole recorded sound, escaped


class Seen:
    """Commands since `begin`."""

    def __init__(self) -> None:
        self._begun_s = 0.0
        self._at_s: list[float] = []  # by the monotonic clock, when we were told

    async def begin(self) -> None:
        """Count from now."""
        self._begun_s = time.monotonic()

    def note(self, line: bytes) -> None:
        """Take a line of MONITOR's."""
        if self._begun_s and not any(word in line[:HEAD_BYTES] for word in NOT_OF_A_TURN):
            self._at_s.append(time.monotonic())

    def count_until(self, end_s: float) -> int:
        """Return how many commands came before a time."""
        return sum(self._begun_s <= at_s <= end_s for at_s in self._at_s)


@asynccontextmanager
async def commands_until(socket: Path) -> AsyncGenerator[Seen]:
    """Watch inside the block."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=LINE_BYTES)
    writer.write(b"MONITOR\r\n")
    await reader.readline()
    seen = Seen()

    async def read() -> None:
        while line := await reader.readline():
            seen.note(line)

    reading = asyncio.create_task(read())
    try:
        yield seen
    finally:
        reading.cancel()
        writer.close()


async def pause(socket: Path, stall_ms: int) -> None:
    """Have Redis answer nobody for a while."""
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(f"CLIENT PAUSE {stall_ms} ALL\r\n".encode())
    await reader.readline()
    writer.close()
