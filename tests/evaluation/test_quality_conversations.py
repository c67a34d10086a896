"""Held-out conversations are held with the model's own answers, and judged by calls, state and content."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import pytest
import torch
from vita_evaluation.offline import Script
from vita_evaluation.quality.answering import FOLLOW_UPS, MOVEMENTS, RECALLS, SIGHTS, later_turns
from vita_evaluation.quality.conversations import Exchange, Turn, converse, png, turns_of
from vita_training.data.sample import AUDIO, Clip, Sample, Utterance
from vita_training.world.sources import questions

from vita15.engine.text_protocol import AppendEmbeddings, AppendText, Generate, Kind, Operation, TextEvent
from vita15.images import load_picture
from vita15.tool_format import ToolCall, call_text

pytestmark = pytest.mark.unit

LIGHT = ToolCall.of("set_light", {"room": "hall", "state": "on"})
SAID = (
    Utterance("system", "You are Vita. # Tools"),
    Utterance("human", "Hello."),
    Utterance("gpt", "Hello. How can I help you?"),
    Utterance("human", "Turn on the light in the hall."),
    Utterance("gpt", call_text(LIGHT)),
    Utterance("tool", '{"room": "hall", "state": "on"}'),
    Utterance("gpt", "The light in the hall is on."),
    Utterance("human", "Thanks."),
    Utterance("gpt", "You are welcome."),
)
TALK = Sample("talk", "tests", SAID, kind="greet set_light thank")


class Deaf:
    """Sees and hears one row, whatever it is."""

    def see(self, picture: bytes, max_tiles: int = 1) -> torch.Tensor:
        return torch.zeros(1, 8)

    def hear(self, samples: object) -> torch.Tensor:
        return torch.ones(1, 8)


Said = str | ToolCall | list[TextEvent]


def play(script: Script[list[Exchange]], answers: Sequence[Said]) -> tuple[list[Exchange], list[Operation]]:
    """Answer a script's questions, one after another; "noise" is the judgement."""
    told, asked = iter(answers), list[Operation]()
    events: Any = None
    while True:
        try:
            operation = script.send(events)
        except StopIteration as end:
            assert next(told, None) is None, "not every answer was asked for"
            return end.value, asked
        asked.append(operation)
        events = (TextEvent(Kind.APPENDED),)
        if isinstance(operation, Generate):
            events = tuple(said(next(told), operation.states[0]))


def said(answer: Said, state: str) -> list[TextEvent]:
    if isinstance(answer, list):
        return [TextEvent(Kind.JUDGEMENT, text=state), *answer]
    if answer == "noise":
        return [TextEvent(Kind.JUDGEMENT, text="noise"), TextEvent(Kind.END, text="noise")]
    return [TextEvent(Kind.JUDGEMENT, text=state), told(answer), TextEvent(Kind.END, text="stop")]


def told(answer: str | ToolCall) -> TextEvent:
    if isinstance(answer, ToolCall):
        return TextEvent(Kind.TOOL_CALL, text=answer.as_json())
    return TextEvent(Kind.TEXT, text=answer)


def test_a_conversation_in_which_all_is_right() -> None:
    held, asked = play(
        converse(Deaf(), TALK),  # type: ignore[arg-type]
        ["hello how can I help you", LIGHT, "The light in the hall is on!", "You are welcome."],
    )
    assert [exchange.is_right for exchange in held] == [True, True, True]
    assert [exchange.turn.kind for exchange in held] == ["greet", "set_light", "thank"]
    words = [(op.role, op.text) for op in asked if isinstance(op, AppendText)]
    assert words[0] == ("system", "You are Vita. # Tools")
    assert ("tool", '{"room": "hall", "state": "on"}') in words
    assert all(op.states == ("text",) for op in asked if isinstance(op, Generate))


def test_an_answer_that_says_something_else_is_wrong_and_the_conversation_goes_on() -> None:
    held, _ = play(
        converse(Deaf(), TALK),  # type: ignore[arg-type]
        ["Hello.", LIGHT, "The light in the hall is off.", "You are welcome."],
    )
    assert [exchange.is_right for exchange in held] == [False, False, True]
    assert held[1].is_call_right


@pytest.mark.parametrize(
    "call",
    [
        ToolCall.of("set_light", {"room": "hall", "state": "off"}),
        ToolCall.of("get_time", {"room": "hall", "state": "on"}),
        ToolCall.of("set_light", {"room": "hall"}),
        "The light in the hall is on.",
        [told(LIGHT), told(LIGHT), TextEvent(Kind.END, text="stop")],
        [told("The light in the hall is on."), told(LIGHT), TextEvent(Kind.END, text="stop")],
        [TextEvent(Kind.END, text="bad_call")],
    ],
)
def test_a_wrong_call_or_none_ends_the_conversation(call: Said) -> None:
    held, _ = play(converse(Deaf(), TALK), ["Hello. How can I help you?", call])  # type: ignore[arg-type]
    assert [exchange.is_right for exchange in held] == [True, False]
    assert not held[1].is_call_right


def test_a_call_that_nobody_wanted_is_wrong() -> None:
    held, _ = play(converse(Deaf(), TALK), [LIGHT])  # type: ignore[arg-type]
    assert [exchange.is_right for exchange in held] == [False]


@pytest.mark.parametrize("ending", ["length", "bad_call"])
def test_an_answer_that_does_not_come_to_its_end_is_wrong(ending: str) -> None:
    answer = [told("Hello. How can I help you?"), TextEvent(Kind.END, text=ending)]
    held, _ = play(converse(Deaf(), TALK, 1), [answer])  # type: ignore[arg-type]
    assert [exchange.is_right for exchange in held] == [False]


def test_a_second_call_instead_of_an_answer_is_wrong() -> None:
    held, _ = play(converse(Deaf(), TALK, 2), ["Hello. How can I help you?", LIGHT, LIGHT])  # type: ignore[arg-type]
    assert [exchange.is_right for exchange in held] == [True, False]


def test_only_questions_that_need_an_earlier_turn_in_new_words_are_counted_as_such() -> None:
    turns = [
        Turn("and_shape", "How about the star?", "The star is red."),  # there is nothing before it
        Turn("and_shape", "How about the star?", "The star is red."),
        Turn("and_shape", "And the star?", "The star is red."),  # learnt
        Turn("ask_name", "What did I tell you my name was?", "You have not told me your name."),
        Turn("ask_name", "what did i tell you my name was", "Your name is Anna."),
        Turn("colour", "What color does the star have?", "The star is red."),
    ]
    assert later_turns(turns) == [1, 4]


def test_a_question_aloud_may_be_taken_for_noise_and_that_is_wrong() -> None:
    turns = (Utterance("human", AUDIO), Utterance("gpt", "It is red."))
    sample = Sample("aloud", "tests", turns, audio=(Clip(torch.zeros(2000, dtype=torch.int16).numpy()),), kind="colour")
    held, asked = play(converse(Deaf(), sample), ["noise"])  # type: ignore[arg-type]
    assert [exchange.is_right for exchange in held] == [False]
    (rows,) = (op for op in asked if isinstance(op, AppendEmbeddings))
    assert torch.equal(rows.rows, torch.ones(1, 8))
    assert [op.states for op in asked if isinstance(op, Generate)] == [("speech", "noise")]


def test_only_the_first_turns_are_held_if_so_wished() -> None:
    held, _ = play(converse(Deaf(), TALK, 1), ["Hello. How can I help you?"])  # type: ignore[arg-type]
    assert len(held) == 1


def test_the_worlds_conversations_have_as_many_kinds_as_turns_and_every_family_is_among_them() -> None:
    met: set[str] = set()
    for subject in ("picture", "video", "talk", "tools"):
        source = questions(0, is_held_out=True, subject=subject)
        for sample in islice((source[index] for index in range(len(source))), 40):
            turns = turns_of(sample)
            assert all(turn.answer for turn in turns)
            assert [turn.kind for turn in turns] == sample.kind.split()
            assert all((turn.call is None) == (not turn.result) for turn in turns)
            met |= {turn.kind for turn in turns}
    assert met & SIGHTS
    assert met & MOVEMENTS
    assert met & FOLLOW_UPS
    assert met & RECALLS
    assert {"get_time", "set_light"} <= met


def test_a_picture_is_sent_as_a_client_would_send_it() -> None:
    source = questions(0, is_held_out=True, subject="picture")
    picture = source[0].pictures[0].pixels
    assert load_picture(png(source[0].pictures[0])).size == picture.size  # type: ignore[union-attr]
