"""Fields of a request to operations: what is missing has a default, what cannot be is refused by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vita15.engine.errors import BadRequest
from vita15.engine.text_protocol import AppendCall, AppendText, CallChoice, Generate
from vita15.engine.text_wire import operation
from vita15.tool_format import Tool, ToolCall

pytestmark = pytest.mark.unit


class Given:
    """Fields of a request."""

    def __init__(self, op: str, **fields: str | float) -> None:
        self.op, self._fields = op, fields

    def text_parameter(self, name: str, default: str = "") -> str:
        return str(self._fields.get(name, default))

    def integer(self, name: str, default: int) -> int:
        return int(self._fields.get(name, default))

    def number(self, name: str, default: float) -> float:
        return float(self._fields.get(name, default))

    def text(self, name: str, default: str | None = None) -> str:
        return str(self._fields[name] if default is None else self._fields.get(name, default))

    def tensor(self, name: str) -> NDArray[Any]:
        return np.zeros((0, 0))


def test_tools_are_read_with_the_words_they_stand_behind() -> None:
    tools = (
        '[{"name": "get_time"}, {"name": "set_light", "description": "Switches.", "parameters": {"type": "object"}}]'
    )
    asked = operation(Given("append_text", role="system", TEXT="Be kind.", TOOLS=tools))
    assert isinstance(asked, AppendText)
    assert asked.tools == (Tool("get_time", "", {}), Tool("set_light", "Switches.", {"type": "object"}))


def test_words_without_tools_have_none() -> None:
    assert operation(Given("append_text", role="user", TEXT="Hi")) == AppendText("user", "Hi")


def test_a_call_is_read_and_written_as_the_model_writes_it() -> None:
    asked = operation(Given("append_call", TEXT='{"arguments":{"room":"kitchen"},"name":"set_light"}'))
    assert asked == AppendCall(ToolCall("set_light", '{"room": "kitchen"}'))


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, CallChoice()),
        ({"max_calls": 3, "tool_choice": "auto"}, CallChoice(3)),
        ({"max_calls": 1, "tool_choice": "required", "tool_name": "x"}, CallChoice(1, is_required=True, name="x")),
    ],
)
def test_whether_tools_may_be_called_is_read_and_by_default_they_may_not(
    fields: dict[str, str | float], choice: CallChoice
) -> None:
    asked = operation(Given("generate", **fields))
    assert isinstance(asked, Generate)
    assert asked.calls == choice


@pytest.mark.parametrize("tools", ["", "{}", "[7]", "[{}]", '[{"name": "a b"}]', '[{"name": "a", "parameters": []}]'])
def test_tools_that_are_none_are_refused(tools: str) -> None:
    with pytest.raises(BadRequest, match="TOOLS"):
        operation(Given("append_text", role="system", TEXT="", TOOLS=tools))


def test_a_call_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="TEXT"):
        operation(Given("append_call", TEXT="[]"))


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(BadRequest, match="op"):
        operation(Given("forget_me"))
