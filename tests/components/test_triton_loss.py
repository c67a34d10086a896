"""Real models that die: what their clients see, and how soon."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from vita_components.codec_decoder import TritonCodecDecoder
from vita_components.llm import TritonLlm
from vita_components.pool import Pool
from vita_orchestrator.components import QueryState, Sampling
from vita_runtime.errors import ComponentUnavailable

from tests.stack import RunningStack, running_stack
from vita15.config import TINY
from vita15.random_checkpoint import write_random_checkpoint

pytestmark = pytest.mark.triton

ENDLESS = Sampling(max_tokens=4000, states=(QueryState.TEXT,))
RESTART_S = 60.0  # of a process on a machine that is busy with other things


@pytest.fixture(scope="module")
def mortal_stack(triton: None, scratch: Path) -> Iterator[RunningStack]:
    """The two parts that these tests kill; of random weights, which talk on until they are stopped."""
    weights = scratch / "mortal-weights"
    write_random_checkpoint(TINY, 0, weights)
    with running_stack(scratch / "mortal", weights, ("llm", "codec_decoder")) as running:
        yield running


@asynccontextmanager
async def watched(stack: RunningStack, component: str) -> AsyncIterator[Pool]:
    """A pool in front of one part."""
    pool = Pool(component, [stack.address(component)])
    watching = asyncio.create_task(pool.watch())
    try:
        await pool.wait_ready(10)
        yield pool
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await pool.close()


@pytest.mark.parametrize("victim", ["server", "model"])
async def test_a_context_whose_model_dies_says_so_and_a_new_one_works_after_the_restart(
    mortal_stack: RunningStack, victim: str
) -> None:
    server = mortal_stack.pid("llm")
    pid = server if victim == "server" else stub_of(server)
    async with watched(mortal_stack, "llm") as pool:
        async with TritonLlm(pool).context("s") as context:
            await context.append_text("user", "Tell me a long story.")
            killed_s = 0.0
            with pytest.raises(ComponentUnavailable):  # noqa: PT012  # the kill is in the middle of an answer
                async for _ in context.generate(ENDLESS):
                    if not killed_s:
                        os.kill(pid, signal.SIGKILL)
                        killed_s = time.monotonic()
            assert time.monotonic() - killed_s < (1.0 if victim == "server" else 2.5)
            with pytest.raises(ComponentUnavailable):
                await context.checkpoint()
        await asyncio.to_thread(mortal_stack.wait_until_restarted, "llm", server, RESTART_S)
        await pool.wait_ready(2)
        async with TritonLlm(pool).context("s") as context:
            assert await context.append_text("user", "And now?") > 0


async def test_a_codec_decoder_that_died_is_in_use_again_after_its_restart(mortal_stack: RunningStack) -> None:
    server = mortal_stack.pid("codec_decoder")
    async with watched(mortal_stack, "codec_decoder") as pool:
        codec = TritonCodecDecoder(pool)
        before = await codec.decode(tuple(range(30)), keep_from=10, keep_count=10)
        mortal_stack.kill("codec_decoder")
        started_s = time.monotonic()
        with pytest.raises(ComponentUnavailable):
            await codec.decode(tuple(range(30)), keep_from=10, keep_count=10)
        assert time.monotonic() - started_s < 1.0
        await asyncio.to_thread(mortal_stack.wait_until_restarted, "codec_decoder", server, RESTART_S)
        await pool.wait_ready(1)
        assert await codec.decode(tuple(range(30)), keep_from=10, keep_count=10) == before


def stub_of(server: int) -> int:
    """The process of the model that a Triton server runs."""
    return next(child.pid for child in psutil.Process(server).children() if "stub" in child.name())
