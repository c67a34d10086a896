"""The gateway's side of a conversation's stream."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_gateway.converse import Orchestrator

pytestmark = pytest.mark.unit


async def test_a_reader_that_leaves_ends_no_stream_and_takes_nothing_with_it(orchestrator_address: str) -> None:
    """A task that waits in grpc.aio is never cancelled: what a response came in would never be freed."""
    orchestrator = Orchestrator(orchestrator_address)
    async with orchestrator.converse(wire.Open, (), 5.0) as conversation:
        leaving = asyncio.create_task(anext(conversation.responses()))
        await asyncio.sleep(0.02)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await conversation.send(wire.ConverseRequest(configure=wire.Configure()))
        async with asyncio.timeout(5.0):
            response = await anext(conversation.responses())
        assert response.HasField("configured")
    await orchestrator.close()
