"""Tools through both APIs with OpenAI's own client, before the real orchestrator with fake components."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionToolParam
from vita_gateway.settings import Settings
from vita_orchestrator.components import ToolCall

from tests.fakes.components import FakeComponents
from tests.fakes.llm import Answer, shown
from tests.gateway.running import Running, Talker, running
from tests.gateway.test_realtime import check
from tests.orchestrator.test_servicer import edge

pytestmark = pytest.mark.unit

TIME = ToolCall("get_time", "{}")
LIGHT = ToolCall("set_light", '{"room": "kitchen"}')
SCHEMA = {"type": "object", "properties": {"room": {"type": "string"}}}
LIGHT_FUNCTION = {"name": "set_light", "description": "Switches a lamp.", "parameters": SCHEMA}
REALTIME_TOOLS = [{"type": "function", "name": "get_time"}, {"type": "function", **LIGHT_FUNCTION}]
TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": "get_time", "strict": True}},
    {"type": "function", "function": LIGHT_FUNCTION},  # type: ignore[typeddict-item]
]
QUESTION = {"role": "user", "content": "Light, and what time is it?"}


@pytest.fixture
def fakes() -> FakeComponents:
    return FakeComponents.answering(Answer("Let me see.", calls=(TIME, LIGHT)), "It is nine.")


@pytest.fixture
async def served(tmp_path: Path, fakes: FakeComponents) -> AsyncIterator[Running]:
    async with edge(tmp_path, fakes), running(Settings(f"unix:{tmp_path}/edge.sock", drain_s=0.1)) as one:
        yield one


@pytest.fixture
async def api(served: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def with_tools(talker: Talker, **session: object) -> None:
    """Offer the tools of a session that answers in words."""
    settings = {"type": "realtime", "output_modalities": ["text"], "tools": REALTIME_TOOLS, **session}
    await talker.send("session.update", session=settings)
    await talker.until("session.updated")


async def ask(talker: Talker, **response: object) -> None:
    """Ask in words."""
    content = [{"type": "input_text", "text": "Light, and what time is it?"}]
    await talker.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await talker.send("response.create", response=response)
    await talker.until("response.done")


# Chat completions.


async def test_a_chat_with_tools_goes_to_its_end(api: openai.AsyncOpenAI, fakes: FakeComponents) -> None:
    asked = await api.chat.completions.create(model="vita", messages=[QUESTION], tools=TOOLS)  # type: ignore[list-item]
    choice = asked.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see.")
    calls = choice.message.tool_calls or []
    assert [(c.function.name, json.loads(c.function.arguments)) for c in calls if c.type == "function"] == [
        ("get_time", {}),
        ("set_light", {"room": "kitchen"}),
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": said} for call, said in zip(calls, "ab", strict=True)
    ]
    history = [QUESTION, choice.message.model_dump(exclude_none=True), *results]
    answer = await api.chat.completions.create(model="vita", messages=history, tools=TOOLS)  # type: ignore[arg-type]
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("It is nine.", "stop")
    assert answer.choices[0].message.tool_calls is None
    turns = fakes.llm.contexts[-1].turns()
    assert [role for role, _ in turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert turns[2:4] == [("assistant", f"<state>Let me see.{shown(TIME)}{shown(LIGHT)}"), ("tool", "ab")]
    assert '"description": "Switches a lamp.", "parameters": {"type":"object"' in turns[0][1]


async def test_calls_stream_behind_the_words(api: openai.AsyncOpenAI) -> None:
    stream = await api.chat.completions.create(model="vita", messages=[QUESTION], tools=TOOLS, stream=True)  # type: ignore[call-overload]
    words, calls, ends = "", [], []
    async for chunk in stream:
        delta = chunk.choices[0].delta
        words += delta.content or ""
        calls += [(c.index, c.id[:5], c.function.name, c.function.arguments) for c in delta.tool_calls or []]
        assert not (calls and delta.content)
        ends.append(chunk.choices[0].finish_reason)
    assert words == "Let me see."
    assert calls == [(0, "call_", "get_time", "{}"), (1, "call_", "set_light", '{"room": "kitchen"}')]
    assert [end for end in ends if end] == ["tool_calls"]


async def test_spoken_words_before_a_call_are_spoken(api: openai.AsyncOpenAI) -> None:
    answer = await api.chat.completions.create(
        model="vita",
        messages=[QUESTION],  # type: ignore[list-item]
        tools=TOOLS,
        modalities=["text", "audio"],
        audio={"voice": "vita", "format": "pcm16"},
    )
    message = answer.choices[0].message
    assert message.audio is not None
    assert (message.audio.transcript, len(message.tool_calls or [])) == ("Let me see.", 2)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "auto"}, ["get_time", "set_light"]),
        ({"tool_choice": "required"}, ["get_time", "set_light"]),
        ({"parallel_tool_calls": False}, ["get_time"]),
        ({"parallel_tool_calls": True}, ["get_time", "set_light"]),
    ],
)
async def test_whether_tools_are_called_is_the_clients_choice(
    api: openai.AsyncOpenAI, settings: dict[str, object], names: list[str]
) -> None:
    answer = await api.chat.completions.create(model="vita", messages=[QUESTION], tools=TOOLS, **settings)  # type: ignore[call-overload]
    message = answer.choices[0].message
    assert [call.function.name for call in message.tool_calls or []] == names
    assert (message.content == "Let me see.") is (settings.get("tool_choice") != "required")


async def test_a_tool_may_be_required_by_name(served: Running, api: openai.AsyncOpenAI, fakes: FakeComponents) -> None:
    fakes.llm.script = lambda _: Answer("No call in the script.")
    answer = await api.chat.completions.create(
        model="vita",
        messages=[QUESTION],  # type: ignore[list-item]
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "set_light"}},
    )
    message = answer.choices[0].message
    assert [call.function.name for call in message.tool_calls or [] if call.type == "function"] == ["set_light"]
    assert message.content is None


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "get time"}}]}, "tools[0].name"),
        ({"tools": TOOLS * 2}, "tools[2].name"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "open_door"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_parameter(
    api: openai.AsyncOpenAI, settings: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await api.chat.completions.create(model="vita", messages=[QUESTION], **settings)  # type: ignore[call-overload]
    assert refused.value.param == param


async def test_a_result_of_no_call_is_refused(api: openai.AsyncOpenAI) -> None:
    messages = [QUESTION, {"role": "tool", "tool_call_id": "call_none", "content": "9:00"}]
    with pytest.raises(openai.BadRequestError, match="names no call"):
        await api.chat.completions.create(model="vita", messages=messages, tools=TOOLS)  # type: ignore[arg-type]


async def test_a_bad_call_is_an_error_with_a_code_of_its_own(api: openai.AsyncOpenAI, fakes: FakeComponents) -> None:
    fakes.llm.script = lambda _: Answer("Let me see.", calls=(TIME,), is_call_bad=True)
    with pytest.raises(openai.APIError) as failed:
        await api.chat.completions.create(model="vita", messages=[QUESTION], tools=TOOLS)  # type: ignore[list-item]
    assert failed.value.code == "bad_tool_call"


async def test_a_model_without_tools_says_so_and_names_the_parameter(
    api: openai.AsyncOpenAI, fakes: FakeComponents
) -> None:
    fakes.llm.has_tools = False
    with pytest.raises(openai.BadRequestError, match="trained without") as refused:
        await api.chat.completions.create(model="vita", messages=[QUESTION], tools=TOOLS)  # type: ignore[list-item]
    assert (refused.value.param, refused.value.code) == ("tools", "invalid_value")


# Realtime.


async def test_a_session_whose_model_has_no_tools_goes_on_without_them(talker: Talker, fakes: FakeComponents) -> None:
    fakes.llm.has_tools = False
    await with_tools(talker)
    await ask(talker)
    failed = talker.events[-1]["response"]
    assert isinstance(failed, dict)
    assert (failed["status"], failed["status_details"]["error"]["code"]) == ("failed", "invalid_value")
    await talker.send("session.update", session={"type": "realtime", "tools": []})
    await talker.until("session.updated")
    await ask(talker)
    assert talker.events[-1]["response"]["status"] == "completed"  # type: ignore[index]
    check(talker.events)


async def test_calls_come_behind_the_words_in_the_order_that_clients_depend_on(talker: Talker) -> None:
    await with_tools(talker)
    await ask(talker)
    kinds = [kind for kind in talker.kinds if kind != "response.output_text.delta"]
    call = [
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert kinds[kinds.index("response.created") :] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        *call,
        *call,
        "response.done",
    ]
    check(talker.events)
    response = talker.events[-1]["response"]
    assert isinstance(response, dict)
    assert (response["status"], [item["type"] for item in response["output"]]) == (
        "completed",
        ["message", "function_call", "function_call"],
    )
    done = [event for event in talker.events if event["type"] == "response.function_call_arguments.done"]
    assert [(e["name"], e["arguments"], e["output_index"]) for e in done] == [
        ("get_time", "{}", 1),
        ("set_light", '{"room": "kitchen"}', 2),
    ]
    added = [e for e in talker.events if e["type"] == "conversation.item.added"][1:]
    previous = [(event["previous_item_id"], event["item"]["id"]) for event in added]  # type: ignore[index]
    assert [before for before, _ in previous[1:]] == [item_id for _, item_id in previous[:-1]]


async def test_results_are_answered_and_items_can_be_read_back(talker: Talker, fakes: FakeComponents) -> None:
    await with_tools(talker)
    await ask(talker)
    response = talker.events[-1]["response"]
    assert isinstance(response, dict)
    for call in response["output"][1:]:
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": "fine"}
        await talker.send("conversation.item.create", item=item)
        await talker.until("conversation.item.done")
    await talker.send("conversation.item.retrieve", item_id=response["output"][1]["id"])
    retrieved = await talker.until("conversation.item.retrieved")
    assert retrieved["item"] == response["output"][1]
    await talker.send("response.create")
    done = await talker.until("response.done")
    assert done["response"]["output"][0]["content"][0]["text"] == "It is nine."  # type: ignore[index]
    assert fakes.llm.contexts[-1].turns()[3] == ("tool", "finefine")
    check(talker.events)


async def test_the_session_shows_its_tools_and_forgets_them_when_told_so(talker: Talker) -> None:
    choice = {"type": "function", "name": "set_light"}
    await with_tools(talker, tool_choice=choice, parallel_tool_calls=False)
    shown_session = talker.events[-1]["session"]
    assert isinstance(shown_session, dict)
    assert (shown_session["tools"], shown_session["tool_choice"]) == (REALTIME_TOOLS, choice)
    await talker.send("session.update", session={"type": "realtime", "tools": [], "tool_choice": "auto"})
    updated = await talker.until("session.updated")
    assert (updated["session"]["tools"], updated["session"]["tool_choice"]) == ([], "auto")  # type: ignore[index]
    await ask(talker)
    assert [item["type"] for item in talker.events[-1]["response"]["output"]] == ["message"]  # type: ignore[index]
    check(talker.events)


async def test_a_response_may_have_tools_of_its_own(talker: Talker) -> None:
    await talker.send("session.update", session={"type": "realtime", "output_modalities": ["text"]})
    await ask(talker, tools=REALTIME_TOOLS[1:], tool_choice="required")
    response = talker.events[-1]["response"]
    assert isinstance(response, dict)
    # The script calls get_time first, which this response does not have: the model's mistake, and a clear end.
    assert (response["status"], response["status_details"]["error"]["code"]) == ("failed", "bad_tool_call")


async def test_a_resumed_session_has_its_tools(served: Running) -> None:
    async with served.connect() as socket:
        first = Talker(socket)
        await first.until("session.created")
        await with_tools(first, tool_choice="required")
        session_id = first.events[-1]["session"]["id"]  # type: ignore[index]
    async with served.connect(f"?session_id={session_id}") as socket:
        again = Talker(socket)
        created = await again.until("session.created")
    assert created["session"]["tools"] == REALTIME_TOOLS  # type: ignore[index]
    assert created["session"]["tool_choice"] == "required"  # type: ignore[index]


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "session.tools[0].type"),
        ({"tools": [{"type": "function", "name": "get time"}]}, "session.tools[0].name"),
        ({"tool_choice": "required"}, "session.tool_choice"),
        ({"tool_choice": {"type": "function"}}, "session.tool_choice.name"),
    ],
)
async def test_a_session_that_cannot_be_is_refused_by_its_parameter(
    talker: Talker, session: dict[str, object], param: str
) -> None:
    await talker.send("session.update", event_id="mine", session={"type": "realtime", **session})
    error = (await talker.until("error"))["error"]
    assert isinstance(error, dict)
    assert (error["param"], error["event_id"]) == (param, "mine")


async def test_openais_realtime_client_uses_a_tool(api: openai.AsyncOpenAI) -> None:
    async with api.realtime.connect(model="vita") as connection:
        await connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": REALTIME_TOOLS}  # type: ignore[typeddict-item]
        )
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Time?"}]}
        )
        await connection.response.create()
        said = ""
        async for event in connection:
            if event.type == "response.function_call_arguments.done" and event.name == "get_time":
                output = {"type": "function_call_output", "call_id": event.call_id, "output": "9:00"}
                await connection.conversation.item.create(item=output)  # type: ignore[arg-type]
            elif event.type == "response.output_text.done":
                said += event.text
            elif event.type == "response.done":
                if said.endswith("It is nine."):
                    break
                await connection.response.create()
            assert event.type != "error", event
    assert said == "Let me see.It is nine."
