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
    """Read a call, marks included; None: it is none, or what stands between them is not what `read_call` takes."""
    text = text.strip()
    if not (text.startswith(CALL_START) and text.endswith(CALL_END)):
        return None
    return read_call(text[len(CALL_START) : -len(CALL_END)])


def read_call(text: str) -> ToolCall | None:
    """Read a call from JSON, an object with a `name` and an object of `arguments`; None: it is none."""
    try:
        call = _object(_parsed(text))
        name, arguments = _name(call), _object(call.get("arguments"))
        return ToolCall.of(name, arguments)
    except ValueError:
        return None


def read_tools(text: str) -> tuple[Tool, ...]:
    """Read tools from a JSON list of objects with `name`, and maybe `description` and `parameters`.

    Raises:
        ValueError: that is not what it is; the message says where, and nothing of the content.
    """
    value = _parsed(text)
    if not isinstance(value, list):
        raise ValueError("is no list")
    tools = [_object(entry) for entry in cast("list[object]", value)]
    return tuple(Tool(_name(t), str(t.get("description", "")), _object(t.get("parameters", {}))) for t in tools)


def write_tools(tools: Sequence[Tool]) -> str:
    """Write tools as `read_tools` reads them."""
    return _json([{"name": t.name, "description": t.description, "parameters": t.parameters} for t in tools])


def _parsed(text: str) -> object:
    """Read JSON. Raises ValueError: it is none, or holds what no text or no other reader takes."""
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
        _json(value).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    return value


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("an object is missing")  # of JSON's types, not Python's
    return cast("dict[str, object]", value)


def _name(fields: Mapping[str, object]) -> str:
    name = fields.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError("a name is none")
    return name


def _schema(tool: Tool) -> dict[str, object]:
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": tool.parameters}}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
