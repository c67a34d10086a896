"""The components in process answer as the modelled servers do, so that the two can be compared."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from vita_components.connect import NAMES, connect
from vita_evaluation.latency.sequential import ask_sequentially
from vita_evaluation.latency.turns import Query
from vita_evaluation.plumbing.answers import EIGHT_SECONDS
from vita_evaluation.plumbing.local import connect_locally
from vita_evaluation.plumbing.turns import sound_of
from vita_orchestrator.components import Components
from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import ZERO
from vita_replay.modelled.llm import LlmSettings
from vita_replay.pace import Pace

pytestmark = pytest.mark.unit

SETTINGS = LlmSettings(answers=(EIGHT_SECONDS,))
QUERY = Query(sound_of(1.0), b"\x89PNG picture", max_tile_count=12)


async def answer_of(components: Components) -> tuple[str, bytes]:
    answer = await ask_sequentially(components, QUERY, "local")
    return answer.text, bytes(answer.sound)


async def test_in_process_and_behind_grpc_words_and_sound_are_the_same() -> None:
    local = await answer_of(connect_locally(ZERO, SETTINGS))
    modelled = Modelled(ZERO, llm=SETTINGS)
    async with AsyncExitStack() as stack:
        endpoints: dict[str, list[str]] = {}
        for name in NAMES:
            pace = Pace()
            server = ComponentServer(name, modelled.behaviour(name, pace), pace)
            endpoints[name] = [await server.start()]
            stack.push_async_callback(server.stop)
        components = await stack.enter_async_context(connect(endpoints))
        await components.wait_ready(10.0)
        served = await answer_of(components)
    assert local == served
    assert local[0] == EIGHT_SECONDS


async def test_positions_in_process_count_as_the_modelled_contexts_do() -> None:
    components = connect_locally(ZERO, SETTINGS)
    async with components.llm.context("positions") as context:
        end = await context.append_text("user", "one two three")
        assert end == 3 + 3, "markers and words"
        assert await context.truncate(end - 1) == end - 1
        assert await context.checkpoint() == context.position == end - 1
