"""Tools as the model reads and writes them: the one place that knows the words.

As Qwen2.5 was trained: the system turn ends in the tools' schemas, a call is JSON between two marks in an answer, and
what a tool says comes back in a user's turn. (Source: chat_template of Qwen2.5's tokenizer_config.json.) Everywhere
else a call is data: a name and its arguments. Text only; which tokens the marks are is chat_template.py's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

CALL_START = "<tool_call>"
CALL_END = "</tool_call>"
CALL_MARKS = (CALL_START, CALL_END)  # one token each: 151657 and 151658 at full size
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # as OpenAI's API bounds it: fits every client


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for."""

    name: str
    description: str
    parameters: Mapping[str, object]  # JSON Schema of the arguments, an object's


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model asks for."""

    name: str
    arguments: str  # a JSON object as the model writes it: one space behind colon and comma

    @classmethod
    def of(cls, name: str, arguments: Mapping[str, object]) -> ToolCall:
        """Return the call of a tool with these arguments."""
        return cls(name, _json(arguments))

    def as_json(self) -> str:
        """Return the whole call as one JSON object, as the model writes it."""
        return f'{{"name": {_json(self.name)}, "arguments": {self.arguments}}}'


def system_text(instructions: str, tools: Sequence[Tool]) -> str:
    """Return the words of the system turn; without tools, the instructions as they are."""
    if not tools:
        return instructions
    schemas = "\n".join(_json(_schema(tool)) for tool in tools)
    offer = (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>\n{schemas}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        f"{CALL_START}{CALL_END} XML tags:\n"
        f'{CALL_START}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{CALL_END}'
    )
    return f"{instructions}\n\n{offer}" if instructions else offer


def call_text(call: ToolCall) -> str:
    """Return a call as it stands in an answer; behind words, a newline goes before it."""
    inside = call.as_json()
    for mark in CALL_MARKS:  # only the marks themselves are marks: the same JSON otherwise written
        inside = inside.replace(mark, "\\u003c" + mark[1:])
    return f"{CALL_START}\n{inside}\n{CALL_END}"


def forced_start(name: str = "") -> str:
    """Return how every call begins, mark included; with a name, up to where that tool's arguments begin."""
    return f'{CALL_START}\n{{"name": {_json(name)}, "arguments":' if name else CALL_START


def response_text(content: str) -> str:
    """Return what a tool said as it stands in a user's turn; behind another's, a newline goes before it."""
    return f"<tool_response>\n{content}\n</tool_response>"


def parse_call(text: str) -> ToolCall | None:
    """Read a call, marks included; None: it is none, or its JSON is not a name and an object of arguments."""
    text = text.strip()
    if not (text.startswith(CALL_START) and text.endswith(CALL_END)):
        return None
    try:
        return _call(json.loads(text[len(CALL_START) : -len(CALL_END)], parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        return None


def _call(value: object) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, object]", value)
    name, arguments = fields.get("name"), fields.get("arguments")
    if not isinstance(name, str) or not NAME.fullmatch(name) or not isinstance(arguments, dict):
        return None
    call = ToolCall.of(name, cast("dict[str, object]", arguments))
    call.arguments.encode()  # half a surrogate pair is no text: ValueError
    return call


def _schema(tool: Tool) -> dict[str, object]:
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": tool.parameters}}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
