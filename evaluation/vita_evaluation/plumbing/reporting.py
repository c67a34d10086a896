"""A helper process tells what it has noted: a line `report` on its standard input, a line of JSON on its output."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def reports(report: Callable[[], dict[str, object]]) -> AsyncGenerator[None]:
    """Answer lines inside the block."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )

    async def answer() -> None:
        while await reader.readline():
            print(json.dumps(report()), flush=True)

    answering = asyncio.create_task(answer())
    try:
        yield
    finally:
        answering.cancel()
        transport.close()
