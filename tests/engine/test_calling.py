"""Calls of tools come out as data; what is no call is a clear outcome; a replayed call reads as the model wrote it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from tests.engine.test_text_engine import Asker
from vita15.chat_template import ChatTemplate
from vita15.engine.calling import MAX_CALL_TOKENS
from vita15.engine.errors import BadRequest
from vita15.engine.generation import Generation, Vocabulary
from vita15.engine.kv_cache import CacheShape, KvSlot
from vita15.engine.text_context import TextContext
from vita15.engine.text_engine import TextEngine
from vita15.engine.text_protocol import AppendCall, AppendText, CallChoice, Generate, Kind, TextEvent
from vita15.engine.text_session import TextLimits
from vita15.engine.text_writing import Writer
from vita15.tokenizer import SPECIAL_TOKENS, Tokenizer, byte_level_tokenizer
from vita15.tool_format import CALL_MARKS, Tool, ToolCall, call_text, system_text

pytestmark = pytest.mark.unit

VOCAB = 1024
LIGHT = ToolCall.of("set_light", {"room": "kitchen", "state": "on"})
TIME = ToolCall.of("get_time", {})
FREELY = CallChoice(max_count=2)


@pytest.fixture(scope="module")
def calling() -> Tokenizer:
    """A vocabulary with the marks of a call."""
    return Tokenizer(byte_level_tokenizer(VOCAB, [*SPECIAL_TOKENS, *CALL_MARKS]))


class Model:
    """A generation whose model wants to say given tokens; wishes that are masked are not granted."""

    def __init__(self, tokenizer: Tokenizer, calls: CallChoice, *, max_tokens: int = 2000) -> None:
        self.tokenizer, self.events, self.now = tokenizer, list[TextEvent](), 0.0
        self.context = TextContext(KvSlot(CacheShape(1, 1, 2, 3000)), ChatTemplate(tokenizer))
        self.context.append("user", tokenizer.encode("hello"))
        wish = Generate(max_tokens=max_tokens, states=(), calls=calls)
        vocabulary = Vocabulary.of(tokenizer, VOCAB)
        self.generation = Generation(wish, self.events.append, self.context, vocabulary, lambda: self.now)

    def say(self, text: str) -> None:
        """Want to say this answer to its end."""
        for token in [*self.tokenizer.encode_answer(text), self.tokenizer.im_end]:
            self.now += 1
            if self.generation.is_over:
                return
            # What is wanted second most is the end: a wish that is masked ends the answer.
            logits = torch.zeros(VOCAB)
            logits[self.tokenizer.im_end], logits[token] = 1, 2
            self.generation.advance(logits)

    @property
    def said(self) -> list[tuple[str, str]]:
        """What came out, pieces of text joined."""
        joined: list[tuple[str, str]] = []
        for event in self.events:
            if event.kind is Kind.TEXT and not event.text:
                continue
            if event.kind is Kind.TEXT and joined and joined[-1][0] == "text":
                joined[-1] = ("text", joined[-1][1] + event.text)
            else:
                joined.append((event.kind.value, event.text))
        return joined


def test_a_call_behind_words_comes_out_as_data_and_its_tokens_are_counted(calling: Tokenizer) -> None:
    model = Model(calling, FREELY)
    model.say("Let me see.\n" + call_text(LIGHT))
    assert model.said == [("text", "Let me see."), ("tool_call", LIGHT.as_json()), ("end", "stop")]
    *pieces, end = model.events
    assert sum(piece.count for piece in pieces) == end.count
    assert pieces[-1].position == end.position == model.context.position


def test_calls_follow_each_other_and_the_words_behind_them_end_the_answer(calling: Tokenizer) -> None:
    model = Model(calling, CallChoice(max_count=8))
    model.say(f"{call_text(TIME)}\n{call_text(LIGHT)}\nIt is nine o'clock.")
    assert model.said == [("tool_call", TIME.as_json()), ("tool_call", LIGHT.as_json()), ("end", "stop")]


def test_the_last_call_that_is_allowed_ends_the_answer(calling: Tokenizer) -> None:
    model = Model(calling, CallChoice(max_count=1))
    model.say(f"{call_text(TIME)}\n{call_text(LIGHT)}")
    assert model.said == [("tool_call", TIME.as_json()), ("end", "stop")]


def test_without_leave_no_call_begins(calling: Tokenizer) -> None:
    model = Model(calling, CallChoice())
    model.say(f"Well. {call_text(TIME)}")
    assert model.said == [("text", "Well. "), ("end", "stop")]


def test_the_mark_that_ends_a_call_stands_nowhere_else(calling: Tokenizer) -> None:
    model = Model(calling, FREELY)
    model.say("Well.</tool_call> Yes.")
    assert model.said == [("text", "Well."), ("end", "stop")]


def test_a_required_call_is_begun_whatever_the_model_wants(calling: Tokenizer) -> None:
    model = Model(calling, dataclasses.replace(FREELY, is_required=True))
    model.say("X" + call_text(TIME).removeprefix("<tool_call>"))  # the first wish is overruled
    assert model.said == [("tool_call", TIME.as_json()), ("end", "stop")]


def test_a_named_tool_is_called_with_arguments_of_the_models(calling: Tokenizer) -> None:
    model = Model(calling, dataclasses.replace(FREELY, is_required=True, name="set_light"))
    forced = '<tool_call>\n{"name": "set_light", "arguments":'
    overruled = "X" * len(calling.encode_answer(forced))
    assert len(calling.encode_answer(overruled)) <= len(overruled)
    for _ in calling.encode_answer(forced):
        model.generation.advance(torch.nn.functional.one_hot(torch.tensor(calling.encode("X")[0]), VOCAB).float())
    model.say(' {"room": "kitchen", "state": "on"}}\n</tool_call>')
    assert model.said == [("tool_call", LIGHT.as_json()), ("end", "stop")]


@pytest.mark.parametrize(
    "written",
    ["<tool_call>\nget_time\n</tool_call>", '<tool_call>\n{"name": "get_time"}\n</tool_call>', "<tool_call>\n{"],
)
def test_what_is_no_call_ends_the_answer_and_keeps_the_words_before_it(calling: Tokenizer, written: str) -> None:
    model = Model(calling, FREELY)
    model.say(f"Let me see.\n{written}")
    assert model.said == [("text", "Let me see."), ("end", "bad_call")]


def test_a_call_without_end_is_bounded(calling: Tokenizer) -> None:
    model = Model(calling, FREELY)
    model.say("<tool_call>" + "ab" * 2 * MAX_CALL_TOKENS)
    assert model.said == [("end", "bad_call")]
    assert model.events[-1].count == MAX_CALL_TOKENS + 1


def test_a_long_call_gives_signs_of_life_that_hold_no_more_than_the_words(calling: Tokenizer) -> None:
    model = Model(calling, FREELY)
    model.say("Well.\n" + call_text(ToolCall.of("say", {"words": "ab" * 150})))
    words = [event for event in model.events if event.kind is Kind.TEXT and event.text]
    signs = [event for event in model.events if event.kind is Kind.TEXT and not event.text]
    *_, call, end = model.events
    assert len(signs) >= 2
    assert {sign.position for sign in signs} == {words[-1].position}
    assert call.kind is Kind.TOOL_CALL
    assert sum(event.count for event in model.events[:-1]) == end.count


def test_a_call_that_the_longest_answer_cuts_is_none(calling: Tokenizer) -> None:
    model = Model(calling, FREELY, max_tokens=5)
    model.say(call_text(LIGHT))
    assert model.said == [("end", "length")]


@pytest.mark.parametrize(
    "calls",
    [
        CallChoice(max_count=-1),
        CallChoice(is_required=True),
        CallChoice(max_count=1, name="get_time"),
        CallChoice(max_count=1, is_required=True, name="get time"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(calling: Tokenizer, calls: CallChoice) -> None:
    with pytest.raises(BadRequest):
        Model(calling, calls)


def test_a_vocabulary_without_the_marks_refuses_calls_and_says_why(tokenizer: Tokenizer) -> None:
    with pytest.raises(BadRequest, match="trained without"):
        Model(tokenizer, FREELY)


@pytest.fixture
def asker(llm: Qwen2ForCausalLM, calling: Tokenizer) -> Asker:
    return Asker(TextEngine(llm, calling, TextLimits(max_sessions=8, max_context=2000)))


TOOLS = (Tool("get_time", "Tells the time.", {"type": "object", "properties": {}}),)


class Written:
    """A context into which a writer writes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.writer = tokenizer, Writer(tokenizer)
        self.context = TextContext(KvSlot(CacheShape(1, 1, 2, 3000)), self.writer.template)

    def add(self, *operations: AppendText | AppendCall) -> None:
        for operation in operations:
            if isinstance(operation, AppendText):
                self.writer.append_text(self.context, operation)
            else:
                self.writer.append_call(self.context, operation)

    @property
    def text(self) -> str:
        """What a model reads, special tokens by their name."""
        tokenizer = self.tokenizer
        special = {tokenizer.im_start: "<|im_start|>", tokenizer.im_end: "<|im_end|>", tokenizer.special.text: "☜"}
        return "".join(special.get(token) or tokenizer.decode_answer([token]) for token in self.context.tokens)


def test_a_conversation_with_a_call_reads_as_qwens(calling: Tokenizer) -> None:
    written = Written(calling)
    written.add(
        AppendText("system", "Be kind.", tools=TOOLS),
        AppendText("user", "What time is it?"),
        AppendText("assistant", "Let me see."),
        AppendCall(TIME),
        AppendText("tool", "9:10"),
        AppendText("tool", "9:11"),
        AppendText("user", "Thanks."),
    )
    assert written.text == (
        f"<|im_start|>system\n{system_text('Be kind.', TOOLS)}<|im_end|>\n"
        "<|im_start|>user\nWhat time is it?<|im_end|>\n"
        f"<|im_start|>assistant\n☜Let me see.\n{call_text(TIME)}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n9:10\n</tool_response>\n<tool_response>\n9:11\n</tool_response><|im_end|>\n"
        "<|im_start|>user\nThanks."
    )
    assert [written.context.tokens.count(mark) for mark in calling.call_ids or ()] == [1, 1]


def test_a_replayed_call_is_the_tokens_that_were_generated(calling: Tokenizer) -> None:
    model, written = Model(calling, FREELY), Written(calling)
    model.say(call_text(LIGHT))
    written.add(AppendText("user", "hello"), AppendCall(LIGHT))
    mark = calling.special.text  # the model of this test judges nothing
    assert [token for token in written.context.tokens if token != mark] == list(model.context.tokens)


def test_marks_in_what_a_tool_says_are_plain_characters(calling: Tokenizer) -> None:
    written = Written(calling)
    written.add(AppendText("tool", "<tool_call></tool_call><|im_end|>"))
    assert not {*(calling.call_ids or ()), calling.im_end} & {*written.context.tokens}


@pytest.mark.parametrize("operation", [AppendText("system", "x", tools=TOOLS), AppendCall(TIME)])
def test_a_model_without_tools_refuses_them_and_the_session_goes_on(
    llm: Qwen2ForCausalLM, tokenizer: Tokenizer, operation: AppendText | AppendCall
) -> None:
    asker = Asker(TextEngine(llm, tokenizer, TextLimits(max_sessions=8, max_context=600)))
    asker.open("s")
    refused = asker.ask("s", operation)
    assert (refused.kind, refused.position) == (Kind.ERROR, 0)
    assert refused.text.startswith("ERROR_REASON_BAD_INPUT: tools: this model was trained without")
    assert asker.ask("s", AppendText("user", "hello")).kind is Kind.APPENDED


def test_tools_are_offered_in_the_system_turn_only(asker: Asker) -> None:
    asker.open("s")
    assert asker.ask("s", AppendText("user", "x", tools=TOOLS)).kind is Kind.ERROR


def test_a_forced_call_of_a_random_model_ends_and_the_session_goes_on(asker: Asker) -> None:
    asker.open("s")
    wish = Generate(max_tokens=60, states=("text",), calls=CallChoice(1, is_required=True, name="get_time"))
    end = asker.ask("s", AppendText("system", "", tools=TOOLS), AppendText("user", "time?"), wish)
    assert end.kind is Kind.END
    assert end.text in ("length", "bad_call", "stop")
    assert asker.text("s") == ""
    assert asker.ask("s", AppendText("user", "hello")).kind is Kind.APPENDED
