"""Conversations with the whole stack: the shipped example, held-out questions, and eight at once."""

from __future__ import annotations

import asyncio

import psutil
import pytest
from vita_cli.sounds import read_sound
from vita_evaluation.content import says_the_same
from vita_evaluation.question_set import HELD_OUT, SpokenQuestion, load_questions
from vita_evaluation.spoken_questions import ask_stack

from tests.acceptance.conversing import EXAMPLES, PICTURE, ask, ask_aloud, item_ids, session
from tests.stack import RunningStack

pytestmark = pytest.mark.triton

AT_ONCE = 8
LEAST_RIGHT = 14  # of 20
MAX_MEMORY_MIB = 4096


async def two_turns(stack: RunningStack, question: SpokenQuestion) -> tuple[str, str, list[str]]:
    """Ask a question aloud and a second one in writing; return both answers and the ids of all items."""
    picture = question.picture.read_bytes() if question.picture else b""
    async with session(stack, output_modalities=["text"], max_output_tokens=16) as client:
        first = await ask_aloud(client, read_sound(question.wav), picture)
        second = await ask(client, f"And what else? {question.text}")
        return first.text, second.text, item_ids(client)


async def test_eight_conversations_at_once_get_the_answers_they_get_alone(stack: RunningStack) -> None:
    questions = load_questions(HELD_OUT)[:AT_ONCE]
    together = await asyncio.gather(*(two_turns(stack, question) for question in questions))
    alone = [await two_turns(stack, question) for question in questions]
    assert [(first, second) for first, second, _ in together] == [(first, second) for first, second, _ in alone]
    assert len({answers for *answers_, _ in together for answers in [tuple(answers_)]}) > 1, "all were told the same"
    every = [item_id for *_, items in together for item_id in items]
    assert len(every) == len(set(every)), "a conversation was told of another's item"


async def test_eight_answers_spoken_at_once_sound_as_they_do_alone(stack: RunningStack, trained: None) -> None:
    words = [f"{greeting} {name}" for greeting in ("Hello.", "What color is the star?") for name in ("", "1", "2", "3")]

    async def sound(said: str) -> bytes:
        async with session(stack, max_output_tokens=12) as client:
            return bytes((await ask(client, said, PICTURE)).sound)

    together = await asyncio.gather(*(sound(said) for said in words))
    assert list(together[::3]) == [await sound(said) for said in words[::3]]


async def test_the_shipped_example_is_answered_rightly(stack: RunningStack, trained: None) -> None:
    async with session(stack) as client:
        answer = await ask_aloud(client, read_sound(EXAMPLES / "what-color.wav"), PICTURE)
    assert answer.status == "completed"
    assert "blue" in answer.text.lower()
    assert answer.audio_ms > 500


def test_most_held_out_questions_are_answered_rightly(stack: RunningStack, trained: None) -> None:
    questions = load_questions(HELD_OUT)
    with ask_stack(stack.url, "") as ask_one:
        answers = [(question, ask_one(question)) for question in questions]
    missed = [(one, said) for one, said in answers if not says_the_same(one.expected, said)]
    wrong = [f"{one.text} → {said} (not: {one.expected})" for one, said in missed]
    print(f"{len(questions) - len(wrong)} of {len(questions)} right; wrong:", *wrong, sep="\n  ")
    assert len(questions) - len(wrong) >= LEAST_RIGHT


def test_the_whole_stack_takes_less_than_4_gib(stack: RunningStack) -> None:
    launcher = psutil.Process(stack.process.pid)
    processes = [launcher, *launcher.children(recursive=True)]
    mib = {f"{one.pid} {one.name()}": one.memory_full_info().pss // 2**20 for one in processes}
    print(f"memory of the stack: {sum(mib.values())} MiB", mib)
    assert len(processes) > 8, "not all of the stack was measured"
    assert sum(mib.values()) < MAX_MEMORY_MIB
