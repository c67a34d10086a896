"""The command line's client uses a tool, before the real gateway and orchestrator with fake components."""

from __future__ import annotations

from pathlib import Path

import pytest
from vita_cli.answers import Answer, Call
from vita_cli.realtime_client import connected
from vita_gateway.settings import Settings
from vita_orchestrator.components import ToolCall

from tests.fakes import llm
from tests.fakes.components import FakeComponents
from tests.gateway.running import running
from tests.orchestrator.test_servicer import edge

pytestmark = pytest.mark.unit

TOOLS = [{"type": "function", "name": "get_time", "description": "Tells the time."}]


def is_done(answer: Answer) -> bool:
    return answer.is_done


async def test_a_call_is_heard_and_its_result_is_answered(tmp_path: Path) -> None:
    script = llm.Answer("Let me see.", calls=(ToolCall("get_time", "{}"),))
    fakes, settings = (
        FakeComponents.answering(script, "It is nine."),
        Settings(f"unix:{tmp_path}/edge.sock", drain_s=0.1),
    )
    async with edge(tmp_path, fakes), running(settings) as served, connected(served.url) as client:
        await client.configure(tools=TOOLS)
        await client.send_text("What time is it?")
        await client.send("response.create")
        asked = await client.wait_for_answer(is_done)
        (call,) = asked.calls
        assert (asked.text, asked.status, call) == ("Let me see.", "completed", Call(call.call_id, "get_time", "{}"))
        assert asked.sound
        await client.send_tool_output(call, "9:00")
        await client.send("response.create")
        answer = await client.wait_for_answer(is_done, since=1)
        assert (answer.text, answer.calls) == ("It is nine.", [])
