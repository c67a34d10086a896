"""What modelled work costs, on a clock that is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from vita_components.codec_decoder import decode_request
from vita_components.llm import llm_request
from vita_components.speech_decoder import speak_request
from vita_components.speech_encoder import utterance_request
from vita_components.tensors import text_tensor
from vita_components.triton import parse_reply
from vita_components.vision_encoder import encode_request
from vita_replay.behaviour import Asked, Call
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC, ZERO, Cost, costs_of
from vita_replay.modelled.llm import LlmSettings
from vita_replay.modelled.senses import SensesSettings
from vita_replay.pace import Meter, Pace

from tests.fakes.clock import VirtualClockLoop

pytestmark = pytest.mark.unit

X10 = REALISTIC.scaled(10)
MS = 1e-3


def on_virtual_clock(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test where waiting takes no time and is exact."""

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            runner.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class Heard:
    """Replies, with the time of each in ms."""

    def __init__(self) -> None:
        self.replies: list[tuple[float, Any]] = []

    async def take(self, message: Any) -> None:
        self.replies.append((asyncio.get_running_loop().time() * 1000, parse_reply(message.infer_response)))

    def times_ms(self, kind: str = "") -> list[float]:
        return [round(at, 3) for at, reply in self.replies if not kind or reply.text("KIND") == kind]


def answering(component: str, modelled: Modelled) -> tuple[Heard, Call, Pace]:
    """A call to a component."""
    heard, pace = Heard(), Pace()
    return heard, modelled.behaviour(component, pace).call(heard.take), pace


def ask(call: Call, *requests: Any) -> Awaitable[None]:
    """Send requests, and wait until all are answered."""

    async def send() -> None:
        for request in requests:
            await call.take(Asked(request))
        await call.finish()

    return send()


def question(words: str) -> list[Any]:
    """A context with a question, and the wish for an answer."""
    return [
        llm_request("s", "open", {"sequence": 1}),
        llm_request("s", "append_text", {"sequence": 2, "role": "user"}, [text_tensor("TEXT", words)]),
        llm_request("s", "generate", {"sequence": 3}),
    ]


@on_virtual_clock
async def test_the_first_word_costs_what_was_to_be_read_and_a_step_and_each_further_one_a_step() -> None:
    heard, call, _ = answering("llm", Modelled(X10, llm=LlmSettings(answers=("One two three.",))))
    await ask(call, *question("word " * 100))
    read_ms = (101 + 3 + 3 + 1) * 0.17  # words and the rest of blank, both turns' markers, the state's mark
    assert heard.times_ms("judgement") == [pytest.approx(read_ms + 33)]
    assert heard.times_ms("text") == pytest.approx([read_ms + 33, read_ms + 66, read_ms + 99])


@on_virtual_clock
async def test_fast_words_come_four_at_a_time_but_the_first() -> None:
    heard, call, _ = answering("llm", Modelled(REALISTIC, llm=LlmSettings(answers=("w " * 10,))))
    await ask(call, *question(""))
    read_ms = 7 * 0.017
    assert heard.times_ms("text") == pytest.approx([read_ms + 3.3 * words for words in (1, 5, 9, 11)])


@on_virtual_clock
async def test_an_answer_stops_before_its_next_step() -> None:
    heard, call, _ = answering("llm", Modelled(X10))
    answer = asyncio.ensure_future(ask(call, *question("Well?")))
    await asyncio.sleep(50 * MS)
    await call.take(Asked(llm_request("s", "stop", {"sequence": 4})))
    await answer
    assert heard.times_ms("end") == [50]
    assert len(heard.times_ms("text")) == 1
    assert heard.replies[-1][1].text("TEXT") == "cancelled"


@on_virtual_clock
async def test_a_clause_costs_its_start_and_its_codes_however_small_each_is() -> None:
    for costs, factor in ((REALISTIC, 1), (X10, 10)):
        heard, call, _ = answering("speech_decoder", Modelled(costs))
        started_ms = asyncio.get_running_loop().time() * 1000
        await ask(call, speak_request("A clause of some length, spoken by itself.", 1))  # 42 characters, 126 codes
        took_ms = [at - started_ms for at in heard.times_ms()]
        assert took_ms == pytest.approx([factor * 0.03 * (1 + n) for n in (10, 30, 70, 110, 126)], abs=1)


@on_virtual_clock
async def test_a_picture_costs_its_tiles_and_a_sound_its_pieces() -> None:
    modelled = Modelled(X10, SensesSettings(tile_count=12))
    heard, call, _ = answering("vision_encoder", modelled)
    await ask(call, encode_request(b"GIF8", 12))
    assert heard.times_ms() == pytest.approx([9 * n for n in range(1, 14)])
    heard, call, _ = answering("speech_encoder", modelled)
    pushes = [utterance_request("u", "push", bytes(320 * 2)) for _ in range(24)]  # 20 ms each
    await ask(call, utterance_request("u", "open"), *pushes, utterance_request("u", "finish"))
    assert heard.times_ms() == pytest.approx([117 + 1.6 * n for n in (1, 2, 3, 3)])


@on_virtual_clock
async def test_a_slow_server_takes_longer_and_a_free_one_no_time_at_all() -> None:
    heard, call, pace = answering("codec_decoder", Modelled(X10))
    pace.slow = 3.0
    await ask(call, decode_request((1, 2, 3), 0, 3))
    assert heard.times_ms() == [12]
    heard, call, _ = answering("llm", Modelled(ZERO))
    await ask(call, *question("Well?"))
    assert set(heard.times_ms()) == {12}


@on_virtual_clock
async def test_small_debts_are_paid_together_and_their_sum_is_right() -> None:
    meter, loop = Meter(Pace()), asyncio.get_running_loop()
    sleeps = 0
    for _ in range(1000):
        before_s = loop.time()
        await meter.pay(0.3 * MS)
        sleeps += loop.time() > before_s
    assert loop.time() == pytest.approx(0.3, abs=0.001)
    assert sleeps == pytest.approx(250, abs=1)


@on_virtual_clock
async def test_others_in_the_same_batch_cost_a_little_more() -> None:
    modelled = Modelled(X10, llm=LlmSettings(answers=("One two three.",)))
    heard, behaviour = Heard(), modelled.behaviour("llm", Pace())
    await asyncio.gather(*(ask(behaviour.call(heard.take), *question("Well?")) for _ in range(11)))
    step_ms = 33 + 10 * 0.13
    assert max(heard.times_ms("text")) == pytest.approx(8 * 0.17 + 3 * step_ms, abs=0.2)


def test_costs_have_names() -> None:
    assert costs_of("zero") == ZERO
    assert costs_of("x1") == REALISTIC.scaled(1)
    assert costs_of("x2.5").llm == Cost(8.25e-3, 42.5e-6, 32.5e-6)
    for name in ("", "1", "x", "ten", "x-1", "xnan"):
        with pytest.raises(ValueError, match=f"'{name}' is neither"):
            costs_of(name)
