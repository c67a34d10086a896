"""A request's fields to an operation of the text engine (docs/components.md); whoever carries the fields."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from vita15.engine.errors import BadRequest
from vita15.engine.text_protocol import (
    AppendCall,
    AppendEmbeddings,
    AppendText,
    CallChoice,
    Checkpoint,
    Generate,
    Operation,
    Truncate,
)
from vita15.tool_format import Tool, ToolCall, read_call, read_tools


class Fields(Protocol):
    """Parameters and tensors of a request."""

    @property
    def op(self) -> str: ...
    def text_parameter(self, name: str, default: str = "") -> str: ...
    def integer(self, name: str, default: int) -> int: ...
    def number(self, name: str, default: float) -> float: ...
    def text(self, name: str, default: str | None = None) -> str: ...
    def tensor(self, name: str) -> NDArray[Any]: ...


def operation(fields: Fields) -> Operation:
    """Read an operation.

    Raises:
        BadRequest: there is no such operation, or its tools or call are none.
    """
    role = fields.text_parameter("role")
    match fields.op:
        case "append_text":
            return AppendText(role, fields.text("TEXT"), fields.text_parameter("state"), _tools(fields))
        case "append_call":
            return AppendCall(_call(fields.text("TEXT")))
        case "append_embeddings":
            return AppendEmbeddings(role, torch.from_numpy(fields.tensor("EMBEDDINGS")))
        case "generate":
            return Generate(
                fields.integer("max_tokens", 512),
                fields.number("temperature", 0.0),
                fields.integer("seed", 0),
                tuple(filter(None, fields.text_parameter("states", "speech,noise").split(","))),
                fields.number("noise_threshold", 0.5),
                CallChoice(
                    fields.integer("max_calls", 0),
                    fields.text_parameter("tool_choice", "auto") == "required",
                    fields.text_parameter("tool_name"),
                ),
            )
        case "checkpoint":
            return Checkpoint()
        case "truncate":
            return Truncate(fields.integer("position", -1))
        case op:
            raise BadRequest(f"op: {op!r} is not known")


def _tools(fields: Fields) -> tuple[Tool, ...]:
    try:
        return read_tools(fields.text("TOOLS", "[]"))
    except ValueError as error:
        raise BadRequest(f"TOOLS: {error}") from error


def _call(text: str) -> ToolCall:
    call = read_call(text)
    if call is None:
        raise BadRequest("TEXT: is no call of a tool")
    return call
