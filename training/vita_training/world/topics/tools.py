"""Two tools: what time it is, and a light to switch."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace

from vita15.tool_format import Tool, ToolCall, call_text
from vita_training.world.numerals import spoken_time
from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question

ROOMS = ("kitchen", "bedroom", "bathroom", "hall", "office", "garage", "garden", "living room")
STATES = ("on", "off")
TOOLS = (
    Tool("get_time", "Tells the time.", {"type": "object", "properties": {}}),
    Tool(
        "set_light",
        "Switches the light in a room.",
        {
            "type": "object",
            "properties": {"room": {"type": "string"}, "state": {"type": "string", "enum": list(STATES)}},
            "required": ["room", "state"],
        },
    ),
)
GET_TIME = Kind(
    "get_time",
    question=("what time is it", "what is the time", "what time do you have"),
    clause=("what time it is", "the time"),
)
SET_LIGHT = Kind(
    "set_light",
    request=(
        "turn {state} the light in the {room}",
        "turn the light in the {room} {state}",
        "switch {state} the light in the {room}",
        "turn the {room} light {state}",
        "switch the {room} light {state}",
    ),
)
KINDS = (GET_TIME, SET_LIGHT)
FAILURE_SHARE = 0.15  # of tool calls
_NO_TIME, _NO_LIGHT, _CANNOT = "I can not tell the time.", "I could not switch the light.", "I can not do that."
_OTHER_TIMES = 150  # that `answers` holds beside every five minutes


def ask(asker: Asker, *, has_tools: bool) -> Question:
    """Ask for the time or a light; without tools neither can be had."""
    question = _ask_time(asker) if asker.rng.random() < 0.4 else _ask_light(asker)
    if has_tools:
        return question
    refusal = _NO_TIME if question.kind == GET_TIME.name else _CANNOT
    return replace(question, kind="no_tool", answer=refusal, call="", result="")


def answers() -> Iterator[str]:
    """All that this topic says, times as they are spoken: every five minutes, and a fixed sample of the others."""
    yield from (_NO_TIME, _NO_LIGHT, _CANNOT)
    yield from (f"The light in the {room} is {state}." for room in ROOMS for state in STATES)
    times = [(hour, minute) for hour in range(24) for minute in range(60)]
    others = random.Random(0).sample([time for time in times if time[1] % 5], _OTHER_TIMES)
    yield from (f"It is {spoken_time(*time)}." for time in times if time[1] % 5 == 0 or time in others)


def _ask_time(asker: Asker) -> Question:
    time = f"{asker.rng.randrange(24):02d}:{asker.rng.randrange(60):02d}"
    is_failure = asker.rng.random() < FAILURE_SHARE
    result = {"error": "no clock"} if is_failure else {"time": time}
    answer = _NO_TIME if is_failure else f"It is {time}."
    question = asker.ask(GET_TIME, answer)
    return replace(question, call=call_text(ToolCall.of("get_time", {})), result=json.dumps(result))


def _ask_light(asker: Asker) -> Question:
    room, state = asker.rng.choice(ROOMS), asker.rng.choice(STATES)
    is_failure = asker.rng.random() < FAILURE_SHARE
    result = {"error": "no such light"} if is_failure else {"room": room, "state": state}
    answer = _NO_LIGHT if is_failure else f"The light in the {room} is {state}."
    question = asker.ask(SET_LIGHT, answer, room=room, state=state)
    call = ToolCall.of("set_light", {"room": room, "state": state})
    return replace(question, call=call_text(call), result=json.dumps(result))
