"""A make-believe house for the demo: the two tools that the tiny model knows, and what comes of using them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from vita_cli.answers import Call

TOOLS: tuple[Mapping[str, object], ...] = (
    {
        "type": "function",
        "name": "get_time",
        "description": "Tells the time.",
        "parameters": {"type": "object", "properties": {}},
    },
    {
        "type": "function",
        "name": "set_light",
        "description": "Switches the light in a room.",
        "parameters": {
            "type": "object",
            "properties": {"room": {"type": "string"}, "state": {"type": "string", "enum": ["on", "off"]}},
            "required": ["room", "state"],
        },
    },
)
ROOMS = ("kitchen", "bedroom", "bathroom", "hall", "office", "garage", "garden", "living room")


@dataclass
class House:
    """Rooms with a light each, all off at first, and a clock."""

    lights: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(ROOMS, False))

    def use(self, call: Call) -> str:
        """Do what a call asks for; return what the tool says, a JSON object."""
        arguments = cast("dict[str, object]", json.loads(call.arguments))
        room, state = (str(arguments.get(name)) for name in ("room", "state"))
        if call.name == "get_time":
            return json.dumps({"time": time.strftime("%H:%M")})
        if call.name != "set_light" or room not in self.lights or state not in ("on", "off"):
            return json.dumps({"error": "no such light"})
        self.lights[room] = state == "on"
        return json.dumps({"room": room, "state": state})
