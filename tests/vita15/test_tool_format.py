"""Tools in words: as Qwen2.5 writes them, and back."""

from __future__ import annotations

import json

import pytest

from vita15.tool_format import CALL_MARKS, Tool, ToolCall, call_text, parse_call, response_text, system_text

pytestmark = pytest.mark.unit

LIGHT = Tool(
    "set_light",
    "Switches a lamp.",
    {"type": "object", "properties": {"room": {"type": "string"}, "state": {"type": "string"}}},
)
CALL = ToolCall.of("set_light", {"room": "küche", "state": "on"})


def test_a_system_turn_offers_the_tools_in_qwens_words() -> None:
    assert system_text("Be kind.", [LIGHT]) == (
        "Be kind.\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        '{"type": "function", "function": {"name": "set_light", "description": "Switches a lamp.", "parameters": '
        '{"type": "object", "properties": {"room": {"type": "string"}, "state": {"type": "string"}}}}}\n</tools>\n\n'
        "For each function call, return a json object with function name and arguments within <tool_call></tool_call> "
        'XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def test_without_tools_the_instructions_stay_as_they_are() -> None:
    assert system_text("Be kind.", []) == "Be kind."


def test_without_instructions_the_tools_come_first() -> None:
    assert system_text("", [LIGHT]).startswith("# Tools\n")


def test_a_call_reads_as_qwens_and_comes_back() -> None:
    text = call_text(CALL)
    assert text == '<tool_call>\n{"name": "set_light", "arguments": {"room": "küche", "state": "on"}}\n</tool_call>'
    assert parse_call(text) == CALL
    assert parse_call(f"  {text}\n") == CALL


@pytest.mark.parametrize("mark", CALL_MARKS)
def test_a_mark_within_the_arguments_is_no_mark(mark: str) -> None:
    call = ToolCall.of("say", {"words": f"a{mark}b"})
    assert call_text(call).count(mark) == 1
    assert parse_call(call_text(call)) == call


def test_a_tools_words_stand_between_its_tags() -> None:
    assert response_text("10 past 9") == "<tool_response>\n10 past 9\n</tool_response>"


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "set_light",
        "[]",
        '{"name": "set_light"}',
        '{"name": "set_light", "arguments": "on"}',
        '{"name": "set_light", "arguments": null}',
        '{"name": 7, "arguments": {}}',
        '{"name": "", "arguments": {}}',
        '{"name": "set light", "arguments": {}}',
        '{"name": "n", "arguments": {}',
        '{"name": "n", "arguments": {"x": NaN}}',
        '{"name": "n", "arguments": {"x": "\\ud800"}}',
        '{"name": "n", "arguments": {"x": ' + "[" * 100_000 + "]" * 100_000 + "}}",
    ],
)
def test_what_is_no_call_is_none(inside: str) -> None:
    assert parse_call(f"<tool_call>\n{inside}\n</tool_call>") is None


def test_a_call_without_its_marks_is_none() -> None:
    assert parse_call(json.dumps({"name": "n", "arguments": {}})) is None
