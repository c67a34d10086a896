"""Tools as a client offers them, and calls: what is allowed, and how they are written for the model."""

from __future__ import annotations

import json
import re

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import Item
from vita_runtime.errors import AlreadyExists, BadInput
from vita_sessions.session import Entry

from vita_orchestrator.components import CallChoice
from vita_orchestrator.policy import Policy

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_CALL_ID_CHARS = 64


def check_tools(tools: wire.Tools, policy: Policy) -> None:
    """Raise BadInput for the first tool outside its limits, or if they are too many or too large together."""
    if len(tools.tools) > policy.max_tool_count:
        raise BadInput(
            "configuration.tools", "are too many", value=len(tools.tools), limit=f"{policy.max_tool_count} tools"
        )
    size = len(tools_text(tools).encode())
    if size > policy.max_tools_bytes:
        raise BadInput("configuration.tools", "are too long", value=size, limit=f"{policy.max_tools_bytes} bytes")
    seen: set[str] = set()
    for index, tool in enumerate(tools.tools):
        field = f"configuration.tools[{index}]"
        check_name(f"{field}.name", tool.name)
        if tool.name in seen:
            raise BadInput(f"{field}.name", "is another tool's too", value=tool.name)
        seen.add(tool.name)
        if tool.parameters:
            check_object(f"{field}.parameters", tool.parameters)


def check_choice(configuration: wire.SessionConfiguration) -> None:
    """Raise BadInput if a whole configuration wants calls of tools that it lacks."""
    choice, names = configuration.tool_choice, names_of(configuration)
    if choice.use not in wire.ToolUse.values():
        raise BadInput("configuration.tool_choice", "is not known", value=choice.use)
    if choice.use == wire.TOOL_USE_REQUIRED and not names:
        raise BadInput("configuration.tool_choice", "requires a call, and there are no tools")
    if choice.tool_name and (choice.use != wire.TOOL_USE_REQUIRED or choice.tool_name not in names):
        raise BadInput("configuration.tool_choice", "names no tool that is required and there")


def check_call(item: Item, policy: Policy) -> None:
    """Raise BadInput unless an item may hold a call or a call's result."""
    is_call = item.HasField("tool_call")
    field = "item.tool_call" if is_call else "item.tool_result"
    call_id = item.tool_call.call_id if is_call else item.tool_result.call_id
    content = item.tool_call.arguments if is_call else item.tool_result.output
    if not 0 < len(call_id) <= MAX_CALL_ID_CHARS:
        raise BadInput(f"{field}.call_id", "is too long or empty", limit=f"{MAX_CALL_ID_CHARS} characters")
    size = len(content.encode())
    if size > policy.max_tool_result_bytes:
        name = "arguments" if is_call else "output"
        raise BadInput(f"{field}.{name}", "is too long", value=size, limit=f"{policy.max_tool_result_bytes} bytes")
    if is_call:
        check_name("item.tool_call.name", item.tool_call.name)
        check_object("item.tool_call.arguments", content)


def check_belongs(item: Item, entries: list[Entry]) -> None:
    """Raise BadInput for a result without its call, AlreadyExists for a second call of one id."""
    calls = {entry.item.tool_call.call_id for entry in entries if entry.item.HasField("tool_call")}
    if item.HasField("tool_result") and item.tool_result.call_id not in calls:
        raise BadInput("item.tool_result.call_id", "names no call", value=item.tool_result.call_id)
    if item.HasField("tool_call") and item.tool_call.call_id in calls:
        raise AlreadyExists("a call with this id exists", field="item.tool_call.call_id", value=item.tool_call.call_id)


def check_name(field: str, name: str) -> None:
    """Raise BadInput unless a tool may be called so."""
    if not NAME.fullmatch(name):
        raise BadInput(field, "is no name", limit="64 letters, digits, _ and -")


def check_object(field: str, text: str) -> None:
    """Raise BadInput unless a text is a JSON object that the model can read."""
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise BadInput(field, "is no JSON") from None
    if not isinstance(value, dict):
        raise BadInput(field, "is no JSON object")


def tools_text(tools: wire.Tools) -> str:
    """Write tools as the language model's component takes them; empty: there are none."""
    if not tools.tools:
        return ""
    written = (
        f'{{"name": {json.dumps(tool.name)}, "description": {json.dumps(tool.description, ensure_ascii=False)}, '
        f'"parameters": {tool.parameters or "{}"}}}'
        for tool in tools.tools
    )
    return f"[{', '.join(written)}]"


def names_of(configuration: wire.SessionConfiguration) -> frozenset[str]:
    """Return what tools are there."""
    return frozenset(tool.name for tool in configuration.tools.tools)


def call_choice(configuration: wire.SessionConfiguration, policy: Policy) -> CallChoice:
    """Return whether an answer may call tools."""
    choice = configuration.tool_choice
    if not configuration.tools.tools or choice.use == wire.TOOL_USE_NONE:
        return CallChoice()
    count = configuration.max_tool_call_count or policy.max_tool_call_count
    return CallChoice(count, choice.use == wire.TOOL_USE_REQUIRED, choice.tool_name)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
