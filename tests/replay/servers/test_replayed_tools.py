"""A turn with tools is recorded whole and runs again without a difference; a call that changes shows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    ROLE_USER,
    ContentPart,
    Item,
    ToolCall,
    ToolResult,
)
from vita.recording.v1.recording_pb2 import FORM_FULL, Record
from vita_components.tensors import text_tensor
from vita_recordings.bundle import Bundle, read, write
from vita_recordings.consent import Consent, Recordings
from vita_recordings.writer import Writer
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import ZERO
from vita_replay.replaying import Options, replay

from tests.orchestrator.test_servicer import edge, opening
from tests.replay.servers.conftest import connected, serving
from tests.stack import wait_until

pytestmark = pytest.mark.unit

TOOLS = wire.Tools(tools=[wire.Tool(name="get_time", description="Tells the time.")])
FORCED = wire.ToolChoice(use=wire.TOOL_USE_REQUIRED, tool_name="get_time")
ITEMS = (
    Item(role=ROLE_USER, parts=[ContentPart(text="What time is it?")]),
    Item(role=ROLE_ASSISTANT, tool_call=ToolCall(call_id="c1", name="get_time", arguments="{}")),
    Item(role=ROLE_TOOL, tool_result=ToolResult(call_id="c1", output="9:00")),
    Item(role=ROLE_USER, parts=[ContentPart(text="And now?")]),
)


@pytest.fixture
async def bundle(tmp_path: Path) -> Path:
    """One turn: its context holds a call and a result, and its answer is a call."""
    writer, folder = Writer(tmp_path / "recordings"), tmp_path / "recordings"
    settings = wire.SessionConfiguration(tools=TOOLS, is_paced=False)
    response = wire.CreateResponse(configuration=wire.SessionConfiguration(tool_choice=FORCED))
    async with serving(Modelled(ZERO).behaviour) as servers, connected(servers) as components:
        parts = SimpleNamespace(components=components)
        async with edge(tmp_path, parts, tapes=Recordings(Consent(), writer)) as it:  # type: ignore[arg-type]
            said = await it.converse(
                opening(configuration=settings, recording=FORM_FULL),
                *(wire.ConverseRequest(create_item=wire.CreateItem(item=item)) for item in ITEMS),
                wire.ConverseRequest(create_response=response),
            )
    writer.close()
    assert [event.tool_called.item.tool_call.name for event in said if event.HasField("tool_called")] == ["get_time"]
    wait_until(lambda: bool(list(folder.glob("*.vita.zip"))), 5, "the recording")
    (path,) = folder.glob("*.vita.zip")
    return path


async def divergences(path: Path) -> list[str]:
    """Replay a recording between recorded components."""
    report = await asyncio.to_thread(replay, Options(path))
    return [str(copy.divergence) for copy in report.copies if copy.divergence]


async def test_a_turn_with_tools_is_the_same_again(bundle: Path) -> None:
    assert await divergences(bundle) == []


async def test_a_call_that_was_another_shows(bundle: Path, tmp_path: Path) -> None:
    found = read(bundle)
    was, other = (
        text_tensor("TEXT", f'{{"name": "{name}", "arguments": {{}}}}').raw for name in ("get_time", "set_time")
    )
    records = [Record.FromString(record.SerializeToString()) for record in found.records]
    for record in records:
        if record.type == "inference.ModelInferResponse":
            record.content = record.content.replace(was, other)
    path = write(Bundle(found.manifest, found.snapshot, tuple(records)), tmp_path)
    (divergence,) = await divergences(path)
    assert divergence.startswith("conversation")
    assert "tool_called" in divergence
