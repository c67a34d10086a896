"""All five components behind their addresses, watched for as long as the block lasts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from vita_orchestrator.components import Components

from vita_components.codec_decoder import TritonCodecDecoder
from vita_components.endpoint import PoolSettings
from vita_components.llm import TritonLlm
from vita_components.pool import Pool
from vita_components.speech_decoder import TritonSpeechDecoder
from vita_components.speech_encoder import TritonSpeechEncoder
from vita_components.triton import Deadline
from vita_components.vision_encoder import TritonVisionEncoder

logger = logging.getLogger(__name__)

NAMES = ("vision_encoder", "speech_encoder", "llm", "speech_decoder", "codec_decoder")


@dataclass(frozen=True, slots=True)
class ConnectedComponents(Components):
    """The five components, and how they are."""

    pools: Mapping[str, Pool]

    def unready(self) -> list[str]:
        """Return the names of components of which no replica is well."""
        return [name for name, pool in self.pools.items() if not pool.is_well]

    def silent_s(self, component: str) -> float:
        """Return how long nothing has been heard of any of a component's replicas."""
        return self.pools[component].silent_s

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until every component has a replica that is well. Raises ComponentUnavailable: one has none."""
        deadline = Deadline(timeout_s)
        for pool in self.pools.values():
            await pool.wait_ready(deadline.left_s())


@asynccontextmanager
async def connect(
    endpoints: Mapping[str, Sequence[str]], settings: PoolSettings | None = None
) -> AsyncGenerator[ConnectedComponents]:
    """Connect to all components; leaving the block closes every channel.

    Args:
        endpoints: Addresses ("host:port") of each component's replicas, by the component's name.
        settings: How they are watched and filled.

    Raises:
        ValueError: a component has no address, or one is not known.
    """
    unknown, missing = set(endpoints) - set(NAMES), [name for name in NAMES if not endpoints.get(name)]
    if unknown or missing:
        raise ValueError(f"endpoints: unknown {sorted(unknown)}, without an address {missing}")
    pools = {name: Pool(name, endpoints[name], settings) for name in NAMES}
    watching = asyncio.create_task(_watch(pools), name="watch components")
    watching.add_done_callback(_report)
    try:
        yield ConnectedComponents(
            TritonVisionEncoder(pools["vision_encoder"]),
            TritonSpeechEncoder(pools["speech_encoder"]),
            TritonLlm(pools["llm"]),
            TritonSpeechDecoder(pools["speech_decoder"]),
            TritonCodecDecoder(pools["codec_decoder"]),
            pools,
        )
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for pool in pools.values():
            await pool.close()


async def _watch(pools: Mapping[str, Pool]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for pool in pools.values():
            tasks.create_task(pool.watch())


def _report(watching: asyncio.Task[None]) -> None:
    """A watch that ends by itself is a defect: nothing would be found well or lost any more."""
    if not watching.cancelled():
        logger.critical("endpoints are not watched any more", exc_info=watching.exception())
