"""What is left of calls that nobody waits for any more: nothing. Counted in what the C library has given out."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vita_components.endpoint import Endpoint
from vita_components.tensors import integer_tensor
from vita_components.triton import build_request

from tests.components.conftest import MakePool, Serve
from tests.components.fake_triton import response

pytestmark = pytest.mark.unit

REPLY_S = 0.05  # long after everybody has gone
CALLS = 200
KEPT_BYTES = 300  # of a call at most: 50 to 90 are counted; 1 KB, or 64 KB, where grpc.aio's task was cancelled


class Mallinfo2(ctypes.Structure):
    """See mallinfo2(3)."""

    _fields_ = (("others", ctypes.c_size_t * 7), ("uordblks", ctypes.c_size_t), ("more", ctypes.c_size_t * 2))


def allocated_bytes() -> int:
    """Return what of the heap is in use, in all arenas."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    return mallinfo2().uordblks


async def late(request: Any) -> AsyncIterator[Any]:
    """Reply when nobody waits any more."""
    await asyncio.sleep(REPLY_S)
    yield response(integer_tensor("NUMBER", [1]))


async def abandon(endpoint: Endpoint, count: int) -> None:
    """Ask, and do not wait for the reply."""
    for _ in range(count):
        asking = asyncio.create_task(endpoint.infer(build_request("m"), deadline_s=5))
        await asyncio.sleep(0.002)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(2 * REPLY_S)


async def test_of_a_reply_that_nobody_waits_for_any_more_nothing_is_kept(serve: Serve, make_pool: MakePool) -> None:
    server = await serve(late)
    pool = await make_pool("m", [server])
    await abandon(pool.endpoints[0], CALLS)  # what is made once and kept is made now
    server.requests.clear()
    before = allocated_bytes()
    await abandon(pool.endpoints[0], CALLS)
    assert len(server.requests) >= CALLS // 2, "they were on their way"
    server.requests.clear()
    assert allocated_bytes() - before < KEPT_BYTES * CALLS
