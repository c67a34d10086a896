"""A script is spoken to the real gateway and orchestrator, with fake components behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from vita_cli import script
from vita_cli.answers import Call
from vita_cli.house import TOOLS, House
from vita_cli.realtime_client import RealtimeError, connected, microphone
from vita_cli.script import Actor, Line, Turn
from vita_cli.sounds import Heard, write_conversation
from vita_gateway.settings import Settings
from vita_orchestrator.components import ToolCall
from vita_training.world.topics import tools as world

from tests.fakes import llm
from tests.fakes.components import FakeComponents
from tests.gateway.running import running
from tests.orchestrator.test_servicer import edge

pytestmark = pytest.mark.unit

LONG = "One, two, three, four. Five, six, seven, eight."  # 3.5 s, as the fake speaks
LIGHT_ON = '{"room": "kitchen", "state": "on"}'


def voice(seconds: float) -> bytes:
    """Loud enough for the tests' detector, at 24 kHz."""
    return (8000 * np.sin(np.arange(int(24_000 * seconds)))).astype("<i2").tobytes()


async def performed(tmp_path: Path, fakes: FakeComponents, lines: Sequence[Line], house: House) -> list[Turn]:
    """Say the lines; the cough is too short to be speech."""
    sounds = {line.name: voice(0.6) for line in lines} | {"cough": voice(0.1)}
    settings = Settings(f"unix:{tmp_path}/edge.sock", drain_s=0.1)
    async with edge(tmp_path, fakes), running(settings) as served, connected(served.url) as client:
        await client.configure(tools=list(TOOLS))
        async with microphone(client) as mouth:
            return [turn async for turn in Actor(client, mouth, sounds, house).perform(lines)]


async def test_a_tool_is_used_and_the_light_is_on(tmp_path: Path) -> None:
    call = llm.Answer("", calls=(ToolCall("set_light", LIGHT_ON),))
    house = House()
    fakes = FakeComponents.answering(call, "The light is on.", "You are welcome.")
    lines = (Line("light", "Turn on the light."), Line("thanks", "Thank you."))
    lit, thanked = await performed(tmp_path, fakes, lines, house)
    ((used, result),) = lit.calls
    assert (used.name, used.arguments, result) == ("set_light", LIGHT_ON, LIGHT_ON)
    assert (lit.answer.text, thanked.answer.text) == ("The light is on.", "You are welcome.")
    assert lit.heard
    assert lit.began_s < lit.asked_s < thanked.began_s
    assert [room for room, is_on in house.lights.items() if is_on] == ["kitchen"]


async def test_a_cough_is_passed_over_and_a_voice_cuts_the_answer_to_what_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "INTERRUPT_AFTER_S", 1.0)
    fakes = FakeComponents.answering(LONG, LONG, "Three.")
    lines = (
        Line("coughed", "Please count.", is_coughed_at=True),
        Line("count", "Please count."),
        Line("interrupt", "Stop.", is_interrupting=True),
    )
    coughed, count, interrupt = await performed(tmp_path, fakes, lines, House())
    assert coughed.answer.status == "completed"
    assert coughed.cough_s is not None
    assert coughed.cut_s is None
    assert count.cut_s is not None
    assert 0 < len(count.heard) < len(coughed.heard)
    assert interrupt.answer.text == "Three."


async def test_a_model_that_only_ever_calls_is_not_waited_for(tmp_path: Path) -> None:
    fakes = FakeComponents.answering(llm.Answer("", calls=(ToolCall("get_time", "{}"),)))
    with pytest.raises(RealtimeError, match="'What time is it\\?': the model calls tools and never answers"):
        await performed(tmp_path, fakes, [Line("time", "What time is it?")], House())


@pytest.mark.parametrize(
    "call",
    [
        Call("1", "set_light", '{"room": "cellar", "state": "on"}'),
        Call("1", "set_light", '{"room": "kitchen", "state": "red"}'),
        Call("1", "set_light", '{"room": ["kitchen"], "state": "on"}'),
        Call("1", "open_door", "{}"),
    ],
)
def test_what_the_house_cannot_do_it_says(call: Call) -> None:
    assert House().use(call) == '{"error": "no such light"}'


def test_the_house_has_the_tools_of_the_small_world() -> None:
    known = [(tool.name, tool.description, tool.parameters) for tool in world.TOOLS]
    assert [(tool["name"], tool["description"], tool["parameters"]) for tool in TOOLS] == known
    assert set(House().lights) == set(world.ROOMS)


def test_a_conversation_is_written_with_a_side_each(tmp_path: Path) -> None:
    write_conversation(tmp_path / "both.wav", [Heard(10.0, voice(0.1))], [Heard(10.2, voice(0.1))])
    samples, rate_hz = soundfile.read(tmp_path / "both.wav", dtype="int16")
    assert (samples.shape, rate_hz) == ((7200, 2), 24_000)
    silence = bytes(2 * 4800)
    assert (samples[:, 0].tobytes(), samples[:, 1].tobytes()) == (voice(0.1) + silence, silence + voice(0.1))
