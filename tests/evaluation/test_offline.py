"""Conversations held together by the engines are those held one by one, and what fails is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vita_evaluation.offline import Answer, Assistant, EngineRefused, Script, answer, ask, say

from vita15.config import TINY
from vita15.random_checkpoint import write_random_checkpoint

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def assistant(tmp_path_factory: pytest.TempPathFactory) -> Assistant:
    folder: Path = tmp_path_factory.mktemp("checkpoint")
    write_random_checkpoint(TINY, 0, folder)
    return Assistant(folder, together=3)


def talk(assistant: Assistant, number: int) -> Script[list[Answer]]:
    """Two turns, the first aloud."""
    sound = (np.random.default_rng(number).standard_normal(6000 + 2000 * number) * 3000).astype(np.int16)
    yield from say("system", "You are Vita.")
    yield from ask(speech=assistant.hear(sound))
    first = yield from answer(("speech",), max_tokens=6)
    yield from ask(f"And number {number}?")
    return [first, (yield from answer(("text",), max_tokens=6))]


def test_conversations_held_together_are_those_held_alone(assistant: Assistant) -> None:
    together = assistant.hold([talk(assistant, number) for number in range(7)])
    assert together == [assistant.hold([talk(assistant, number)])[0] for number in range(7)]
    assert len({first.text for first, _ in together}) > 1
    assert all((first.state, second.state) == ("speech", "text") for first, second in together)


def refused() -> Script[str]:
    """Ask for what the engine does not do, and go on."""
    try:
        yield from say("nobody", "words")
    except EngineRefused as error:
        message = str(error)
    else:
        message = "nothing was refused"
    yield from ask("Hello.")
    said = yield from answer(("text",), max_tokens=2)
    return f"{message} {said.state}"


def test_what_the_engine_refuses_a_script_may_catch(assistant: Assistant) -> None:
    (told,) = assistant.hold([refused()])
    assert "role" in told
    assert told.endswith("text")


def broken() -> Script[str]:
    yield from ask("Hello.")
    raise RuntimeError("the script is broken")


def test_what_a_script_raises_ends_all_and_is_raised(assistant: Assistant) -> None:
    with pytest.raises(RuntimeError, match="the script is broken"):
        assistant.hold([broken(), *(talk(assistant, number) for number in range(2))])
    assert assistant.hold([refused()])
