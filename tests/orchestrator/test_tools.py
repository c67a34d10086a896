"""Calls of tools: part of the answer and of the record, told once, followed by the client, and survived."""

from __future__ import annotations

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ITEM_STATUS_COMPLETED, ROLE_ASSISTANT, ROLE_TOOL, Item, ToolCall, ToolResult
from vita_orchestrator import components
from vita_sessions.record import decode, encode

from tests.fakes.components import FakeComponents
from tests.fakes.faults import Fault, lost
from tests.fakes.llm import Answer, shown
from tests.orchestrator.talk import SILENCE, VOICE, Talk, reason, talking

pytestmark = pytest.mark.unit

SCHEMA = '{"type": "object", "properties": {"room": {"type": "string"}}}'
TOOLS = wire.Tools(
    tools=[
        wire.Tool(name="get_time", description="Tells the time."),
        wire.Tool(name="set_light", description="Switches a lamp.", parameters=SCHEMA),
    ]
)
WRITTEN = (
    '[{"name": "get_time", "description": "Tells the time.", "parameters": {}}, '
    f'{{"name": "set_light", "description": "Switches a lamp.", "parameters": {SCHEMA}}}]'
)
TIME = components.ToolCall("get_time", "{}")
LIGHT = components.ToolCall("set_light", '{"room": "kitchen"}')
LET_ME_SEE = Answer("Let me see.", calls=(TIME,))
WITH_TOOLS = wire.SessionConfiguration(tools=TOOLS, instructions="Be kind.", is_paced=False)
PACED = wire.SessionConfiguration(tools=TOOLS, instructions="Be kind.")


def calls(talk: Talk) -> list[ToolCall]:
    return [heard.event.tool_called.item.tool_call for heard in talk.all("tool_called")]


async def tell(talk: Talk, output: str, number: int = 0, **response: object) -> None:
    """Do as the client of a tool: add the result, ask on."""
    result = ToolResult(call_id=calls(talk)[number].call_id, output=output)
    await talk.say(create_item=wire.CreateItem(item=Item(role=ROLE_TOOL, tool_result=result)))
    await talk.say(create_response=wire.CreateResponse(**response))  # type: ignore[arg-type]


def kept(talk: Talk) -> list[str]:
    """What the record holds, an item a word or two."""
    items = [entry.item for entry in talk.session.entries]
    return [
        item.tool_call.name or item.tool_result.output or "".join(part.text for part in item.parts) for item in items
    ]


async def test_a_call_is_told_behind_the_words_and_its_result_is_answered() -> None:
    fakes = FakeComponents.answering(LET_ME_SEE, "It is nine.")
    async with talking(fakes, configuration=WITH_TOOLS) as talk:
        await talk.ask("What time is it?")
        await talk.until("response_done")
        await tell(talk, "9:00")
        await talk.until("response_done", 2)
        assert talk.context() == [
            ("system", "Be kind." + WRITTEN),
            ("user", "What time is it?"),
            ("assistant", "<state>Let me see." + shown(TIME)),
            ("tool", "9:00"),
            ("assistant", "<state>It is nine."),
        ]
    assert talk.failures() == []
    assert (talk.text(0), talk.text(1)) == ("Let me see.", "It is nine.")
    assert talk.sound(0)
    assert talk.done(0).outcome == wire.RESPONSE_OUTCOME_COMPLETED
    assert [(call.name, call.arguments) for call in calls(talk)] == [("get_time", "{}")]
    assert kept(talk) == ["What time is it?", "Let me see.", "get_time", "9:00", "It is nine."]


async def test_a_call_is_told_at_once_and_not_when_its_words_have_been_spoken() -> None:
    words = Answer("One moment, please, I will have a look at the clock on the wall for you.", calls=(TIME,))
    async with talking(FakeComponents.answering(words), configuration=PACED) as talk:
        await talk.ask("What time is it?")
        called, done = await talk.until("tool_called"), await talk.until("response_done")
    assert done.at_s - called.at_s > 1.0
    assert talk.done().audio_ms > 3000


async def test_an_answer_may_be_nothing_but_calls() -> None:
    fakes = FakeComponents.answering(Answer("", calls=(TIME, LIGHT)), "Done.")
    async with talking(fakes, configuration=WITH_TOOLS) as talk:
        await talk.ask("Light, and the time?")
        await talk.until("response_done")
        for number, output in enumerate(["9:00", "on"]):
            result = ToolResult(call_id=calls(talk)[number].call_id, output=output)
            await talk.say(create_item=wire.CreateItem(item=Item(role=ROLE_TOOL, tool_result=result)))
        await talk.say(create_response=wire.CreateResponse())
        await talk.until("response_done", 2)
    assert talk.done().item.parts == []
    assert talk.all("item_deleted") == []
    assert kept(talk) == ["Light, and the time?", "get_time", "set_light", "9:00", "on", "Done."]
    previous = [heard.event.tool_called.previous_item_id for heard in talk.all("tool_called")]
    assert previous == [talk.done().item.item_id, talk.all("tool_called")[0].event.tool_called.item.item_id]


async def test_speech_over_the_words_before_a_call_cuts_the_words_and_not_the_call() -> None:
    words = " ".join(f"Sentence number {number} is spoken here." for number in range(8))
    fakes = FakeComponents.answering(Answer(words, calls=(TIME,)), "Yes.")
    async with talking(fakes, configuration=PACED) as talk:
        await talk.ask("What time is it?")
        await talk.until("tool_called")
        await talk.speak((VOICE, 960), (SILENCE, 640))
        await talk.until("response_done", 2)
        await tell(talk, "9:00")
        await talk.until("response_done", 3)
        roles = [role for role, _ in talk.context()]
        assert roles == ["system", "user", "assistant", "user", "assistant", "tool", "assistant"]
        assert shown(TIME) in talk.context()[2][1]
    assert talk.done(0).outcome == wire.RESPONSE_OUTCOME_INTERRUPTED
    message, call = talk.session.entries[1], talk.session.entries[2]
    assert len(message.text) < len(words)
    assert (call.item.tool_call.name, call.item.status) == ("get_time", ITEM_STATUS_COMPLETED)
    assert talk.failures() == []


async def test_speech_before_a_call_is_whole_leaves_no_call() -> None:
    words = " ".join(f"Sentence number {number} is spoken here." for number in range(8))
    fakes = FakeComponents.answering(Answer(words, calls=(TIME,)), "Yes.", token_s=0.3)
    async with talking(fakes, configuration=PACED) as talk:
        await talk.ask("What time is it?")
        await talk.until("answer_audio")
        await talk.speak((VOICE, 960), (SILENCE, 640))
        await talk.until("response_done", 2)
    assert calls(talk) == []
    assert "get_time" not in kept(talk)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("Let me see.", calls=(TIME,), is_call_bad=True), "words that cannot be read"),
        (Answer("Let me see.", calls=(components.ToolCall("open_door", "{}"),)), "a tool that there is not"),
    ],
)
async def test_a_bad_call_fails_the_answer_and_keeps_its_words_and_the_session(answer: Answer, said: str) -> None:
    fakes = FakeComponents.answering(answer, "It is nine.")
    async with talking(fakes, configuration=WITH_TOOLS) as talk:
        await talk.ask("What time is it?")
        await talk.until("response_done")
        await talk.ask("Pardon?")
        await talk.until("response_done", 2)
        assert talk.context()[2:4] == [("assistant", "<state>Let me see."), ("user", "Pardon?")]
    done = talk.done()
    assert done.outcome == wire.RESPONSE_OUTCOME_FAILED
    assert (reason(done.failure), said in done.failure.message) == ("BAD_TOOL_CALL", True)
    assert calls(talk) == []
    assert kept(talk) == ["What time is it?", "Let me see.", "Pardon?", "It is nine."]
    assert talk.sound(0)


async def test_calls_that_are_not_wanted_are_not_made() -> None:
    choice = wire.ToolChoice(use=wire.TOOL_USE_NONE)
    async with talking(FakeComponents.answering(LET_ME_SEE), configuration=WITH_TOOLS) as talk:
        await talk.ask("What time is it?", configuration=wire.SessionConfiguration(tool_choice=choice))
        await talk.until("response_done")
        assert talk.context()[0] == ("system", "Be kind." + WRITTEN)
    assert (talk.text(), calls(talk)) == ("Let me see.", [])


async def test_a_call_that_is_required_is_made_without_a_word() -> None:
    choice = wire.ToolChoice(use=wire.TOOL_USE_REQUIRED, tool_name="set_light")
    async with talking(FakeComponents.answering("Well."), configuration=WITH_TOOLS) as talk:
        await talk.ask("Light!", configuration=wire.SessionConfiguration(tool_choice=choice))
        await talk.until("response_done")
    assert (talk.text(), [call.name for call in calls(talk)]) == ("", ["set_light"])


async def test_no_more_calls_are_made_than_are_wanted() -> None:
    fakes = FakeComponents.answering(Answer("", calls=(TIME, LIGHT, TIME)))
    async with talking(fakes, configuration=WITH_TOOLS) as talk:
        await talk.ask("Do it.", configuration=wire.SessionConfiguration(max_tool_call_count=2))
        await talk.until("response_done")
    assert [call.name for call in calls(talk)] == ["get_time", "set_light"]


async def test_tools_that_are_taken_away_are_gone_from_the_next_answer_on() -> None:
    async with talking(FakeComponents.answering(LET_ME_SEE, "Yes."), configuration=WITH_TOOLS) as talk:
        await talk.say(configure=wire.Configure(configuration=wire.SessionConfiguration(tools=wire.Tools())))
        await talk.until("configured")
        await talk.ask("Hello?")
        await talk.until("response_done")
        assert talk.context()[0] == ("system", "Be kind.")
    assert calls(talk) == []


async def test_an_answer_out_of_band_leaves_no_call_in_the_conversation() -> None:
    async with talking(FakeComponents.answering(LET_ME_SEE), configuration=WITH_TOOLS) as talk:
        await talk.ask("What time is it?", is_out_of_band=True)
        await talk.until("response_done")
    assert [call.name for call in calls(talk)] == ["get_time"]
    assert kept(talk) == ["What time is it?"]


async def test_a_session_goes_on_elsewhere_with_its_calls() -> None:
    async with talking(FakeComponents.answering(LET_ME_SEE), configuration=WITH_TOOLS) as talk:
        await talk.ask("What time is it?")
        await talk.until("response_done")
    there = FakeComponents.answering("It is nine.")
    async with talking(there, session=decode(encode(talk.session))) as again:
        result = ToolResult(call_id=calls(talk)[0].call_id, output="9:00")
        await again.say(create_item=wire.CreateItem(item=Item(role=ROLE_TOOL, tool_result=result)))
        await again.say(create_response=wire.CreateResponse())
        await again.until("response_done")
        assert again.context()[:4] == [
            ("system", "Be kind." + WRITTEN),
            ("user", "What time is it?"),
            ("assistant", "<state>Let me see." + shown(TIME)),
            ("tool", "9:00"),
        ]
    assert again.text() == "It is nine."


FAULTS = [
    Fault("append_call", 0, 0, lost("llm")),
    Fault("generate", 0, 2, lost("llm")),
    Fault("generate", 1, 0, lost("llm")),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.operation}-{fault.at_call}-{fault.after_outputs}")
async def test_a_lost_replica_costs_a_pause_and_no_call_is_made_twice(fault: Fault) -> None:
    fakes = FakeComponents.answering(LET_ME_SEE, "It is nine.")
    fakes.bench.faults.append(fault)
    async with talking(fakes, configuration=WITH_TOOLS) as talk:
        await talk.ask("What time is it?")
        await talk.until("response_done")
        await tell(talk, "9:00")
        await talk.until("response_done", 2)
        assert talk.context()[2:4] == [("assistant", "<state>Let me see." + shown(TIME)), ("tool", "9:00")]
    assert len(calls(talk)) == 1
    assert (talk.text(0), talk.text(1)) == ("Let me see.", "It is nine.")


async def test_a_replica_lost_behind_a_call_does_not_tell_it_again() -> None:
    fakes = FakeComponents.answering(Answer("", calls=(TIME, LIGHT)), token_s=0.2)
    async with talking(fakes, configuration=WITH_TOOLS) as talk:
        await talk.ask("Do it.")
        await talk.until("tool_called")
        fakes.llm.lose()
        await talk.until("response_done")
    assert [call.name for call in calls(talk)] == ["get_time", "set_light"]
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_what_was_called_is_forgotten_with_its_question_when_the_context_is_full() -> None:
    long = "word " * 75
    fakes = FakeComponents.answering(LET_ME_SEE, "It is nine.", "Yes.", capacity=230)
    settings = wire.SessionConfiguration(tools=TOOLS, instructions="Be kind.", is_paced=False, max_output_tokens=20)
    async with talking(fakes, configuration=settings) as talk:
        await talk.ask(f"What time is it? {long}")
        await talk.until("response_done")
        await tell(talk, "9:00")
        await talk.until("response_done", 2)
        await talk.ask(long)
        await talk.until("response_done", 3)
        await talk.ask(long)
        await talk.until("response_done", 4)
        said = " ".join(words for _, words in talk.context())
        assert shown(TIME) not in said
        assert "9:00" not in said
    assert talk.failures() == []


def tool(**fields: str) -> wire.Tools:
    return wire.Tools(tools=[wire.Tool(**{"name": "get_time", **fields})])


def choice(use: wire.ToolUse, name: str = "") -> wire.SessionConfiguration:
    return wire.SessionConfiguration(tool_choice=wire.ToolChoice(use=use, tool_name=name))


def settings(tools: wire.Tools) -> wire.SessionConfiguration:
    return wire.SessionConfiguration(tools=tools)


WRONG_SETTINGS = [
    ("too many", settings(wire.Tools(tools=[wire.Tool(name=f"tool{n}") for n in range(65)])), "64 tools"),
    ("too large", settings(tool(description="x" * 40_000)), "32768 bytes"),
    ("one name twice", settings(wire.Tools(tools=[wire.Tool(name="a"), wire.Tool(name="a")])), "tools[1].name"),
    ("no name", settings(tool(name="")), "tools[0].name"),
    ("a name with a space", settings(tool(name="get time")), "tools[0].name"),
    ("a schema that is no JSON", settings(tool(parameters="{")), "tools[0].parameters"),
    ("a schema that is no object", settings(tool(parameters="[]")), "tools[0].parameters"),
    ("a schema with half a character", settings(tool(parameters='{"a": "\\ud800"}')), "tools[0].parameters"),
    ("a schema that is too deep", settings(tool(parameters='{"a": ' + "[" * 9000 + "]" * 9000 + "}")), "parameters"),
    ("a tool that there is not", choice(wire.TOOL_USE_REQUIRED, "open_door"), "tool_choice"),
    ("a tool that need not be called", choice(wire.TOOL_USE_AUTO, "get_time"), "tool_choice"),
    ("an unknown choice", choice(9), "tool_choice"),  # type: ignore[arg-type]
    ("less than no call", wire.SessionConfiguration(max_tool_call_count=-1), "0 to 8"),
    ("too many calls", wire.SessionConfiguration(max_tool_call_count=9), "0 to 8"),
]


@pytest.mark.parametrize(("change", "named"), [case[1:] for case in WRONG_SETTINGS], ids=[c[0] for c in WRONG_SETTINGS])
async def test_settings_beyond_their_limits_are_refused_by_name_and_the_tools_stay(
    change: wire.SessionConfiguration, named: str
) -> None:
    async with talking(FakeComponents.answering(LET_ME_SEE), configuration=WITH_TOOLS) as talk:
        await talk.say("e9", configure=wire.Configure(configuration=change))
        failure = await talk.until("failure")
        await talk.ask("What time is it?")
        await talk.until("response_done")
    assert talk.failures() == ["BAD_INPUT"]
    assert named in str(failure.event.failure.status).replace("\\", "")
    assert len(calls(talk)) == 1


async def test_a_call_cannot_be_required_where_there_are_no_tools() -> None:
    async with talking(FakeComponents.answering("Yes.")) as talk:
        await talk.say(configure=wire.Configure(configuration=choice(wire.TOOL_USE_REQUIRED)))
        await talk.until("failure")
    assert talk.failures() == ["BAD_INPUT"]


def call(**fields: str) -> Item:
    return Item(
        role=ROLE_ASSISTANT, tool_call=ToolCall(**{"call_id": "c1", "name": "get_time", "arguments": "{}", **fields})
    )


def result(**fields: str) -> Item:
    return Item(role=ROLE_TOOL, tool_result=ToolResult(**{"call_id": "known", "output": "9:00", **fields}))


WRONG_ITEMS = [
    ("a result of no call", "BAD_INPUT", result(call_id="nobody")),
    ("a call twice", "ALREADY_EXISTS", call(call_id="known")),
    ("a result without an id", "BAD_INPUT", result(call_id="")),
    ("a result that is too long", "BAD_INPUT", result(output="x" * 20_000)),
    ("a call without an id", "BAD_INPUT", call(call_id="")),
    ("a call with a long id", "BAD_INPUT", call(call_id="x" * 65)),
    ("a call of no name", "BAD_INPUT", call(name="")),
    ("arguments that are no JSON", "BAD_INPUT", call(arguments="now")),
    ("arguments that are no object", "BAD_INPUT", call(arguments="7")),
    ("arguments that are too long", "BAD_INPUT", call(arguments='{"a": "' + "x" * 20_000 + '"}')),
    ("a result of the assistant's", "BAD_INPUT", Item(role=ROLE_ASSISTANT, tool_result=ToolResult(call_id="known"))),
]


@pytest.mark.parametrize(
    ("expected", "item"), [case[1:] for case in WRONG_ITEMS], ids=[case[0] for case in WRONG_ITEMS]
)
async def test_calls_and_results_beyond_their_limits_are_refused_and_the_session_goes_on(
    expected: str, item: Item
) -> None:
    async with talking(FakeComponents.answering("Yes."), configuration=WITH_TOOLS) as talk:
        await talk.say(create_item=wire.CreateItem(item=call(call_id="known")))
        await talk.say("e9", create_item=wire.CreateItem(item=item))
        await talk.until("failure")
        await talk.ask("Hello?")
        await talk.until("response_done")
    assert talk.failures() == [expected]
    assert talk.text() == "Yes."


async def test_the_words_of_calls_and_results_count_as_the_records_words() -> None:
    async with talking(FakeComponents.answering("Yes."), configuration=WITH_TOOLS, max_words_bytes=3000) as talk:
        await talk.say(create_item=wire.CreateItem(item=call(call_id="known")))
        await talk.say("e9", create_item=wire.CreateItem(item=result(output="x" * 4000)))
        await talk.until("failure")
    assert talk.failures() == ["BAD_INPUT"]
