"""Tools as the Realtime API and chat completions write them, and as the conversation takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict
from vita.conversation.v1 import conversation_service_pb2 as wire

ToolUse = Literal["auto", "none", "required"]

USES: dict[ToolUse, wire.ToolUse] = {
    "auto": wire.TOOL_USE_AUTO,
    "none": wire.TOOL_USE_NONE,
    "required": wire.TOOL_USE_REQUIRED,
}


class Function(BaseModel):
    """A function that the client does for the model; `strict` has no effect: arguments are not held to the schema."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str | None = None
    parameters: dict[str, object] | None = None  # JSON Schema


class FunctionName(BaseModel):
    """The function to call."""

    model_config = ConfigDict(frozen=True)

    name: str


def wire_tools(functions: Sequence[Function]) -> wire.Tools:
    """Return the functions as the conversation takes them; it checks their limits."""
    return wire.Tools(
        tools=[
            wire.Tool(
                name=function.name,
                description=function.description,
                parameters=orjson.dumps(function.parameters).decode() if function.parameters else "",
            )
            for function in functions
        ]
    )


def wire_choice(use: ToolUse, name: str = "") -> wire.ToolChoice:
    """Return the choice; a named tool is required."""
    return wire.ToolChoice(use=wire.TOOL_USE_REQUIRED if name else USES[use], tool_name=name)


def read_tool(tool: wire.Tool) -> dict[str, Any]:
    """Return a tool of the conversation's as the fields of a `Function`."""
    parameters = orjson.loads(tool.parameters) if tool.parameters else None
    return {"name": tool.name, "description": tool.description or None, "parameters": parameters}


def read_choice(choice: wire.ToolChoice) -> tuple[ToolUse, str]:
    """Return a choice of the conversation's, and the name where one tool is required."""
    names: dict[wire.ToolUse, ToolUse] = {use: name for name, use in USES.items()}
    return names.get(choice.use, "auto"), choice.tool_name


def call_limit(is_parallel: bool | None) -> int | None:
    """Return the most calls of one answer by `parallel_tool_calls`; 0: as many as the service allows."""
    return None if is_parallel is None else 0 if is_parallel else 1
