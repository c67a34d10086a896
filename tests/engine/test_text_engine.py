"""Laws of the text engine, on a random tiny model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from vita15.chat_template import ChatTemplate
from vita15.engine.errors import AtCapacity
from vita15.engine.text_engine import TextEngine
from vita15.engine.text_protocol import (
    AppendEmbeddings,
    AppendText,
    Checkpoint,
    Generate,
    Kind,
    Operation,
    TextEvent,
    Truncate,
)
from vita15.engine.text_session import TextLimits
from vita15.llm import embed
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

QUESTIONS = [f"what is the {thing}?" for thing in ["colour", "shape", "size", "name", "sound"]] + [
    "a",
    "你好",
    "why" * 50,
]
SPOKEN = ("speech", "text")


class Asker:
    """Asks an engine and keeps what it answers, by session."""

    def __init__(self, engine: TextEngine) -> None:
        self.engine = engine
        self.events: dict[str, list[TextEvent]] = {}

    def open(self, key: str) -> None:
        self.engine.open(key, self.events.setdefault(key, []).append)

    def ask(self, key: str, *operations: Operation) -> TextEvent:
        """Ask, without waiting but for `now`; return the last event once idle."""
        for operation in operations:
            self.engine.ask(key, operation, self.events[key].append)
        self.engine.run_until_idle()
        return self.events[key][-1]

    def send(self, key: str, operation: Operation) -> None:
        self.engine.ask(key, operation, self.events[key].append)

    def text(self, key: str) -> str:
        return "".join(event.text for event in self.events[key] if event.kind is Kind.TEXT)


@pytest.fixture
def engine(llm: Qwen2ForCausalLM, tokenizer: Tokenizer) -> TextEngine:
    return TextEngine(llm, tokenizer, TextLimits(max_sessions=8, max_context=600))


@pytest.fixture
def asker(engine: TextEngine) -> Asker:
    return Asker(engine)


def answers_alone(llm: Qwen2ForCausalLM, tokenizer: Tokenizer, wish: Generate) -> list[str]:
    texts: list[str] = []
    for question in QUESTIONS:
        asker = Asker(TextEngine(llm, tokenizer))
        asker.open("s")
        asker.ask("s", AppendText("user", question), wish)
        texts.append(asker.text("s"))
    return texts


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_answers_of_eight_sessions_at_once_equal_those_alone(
    llm: Qwen2ForCausalLM, tokenizer: Tokenizer, asker: Asker, temperature: float
) -> None:
    wish = Generate(max_tokens=24, temperature=temperature, seed=5, states=SPOKEN)
    for index, question in enumerate(QUESTIONS):
        asker.open(str(index))
        asker.send(str(index), AppendText("user", question))
        asker.send(str(index), wish)
    asker.engine.run_until_idle()
    together = [asker.text(str(index)) for index in range(len(QUESTIONS))]
    assert together == answers_alone(llm, tokenizer, wish)
    assert len(set(together)) > 1, "a model that always says the same tests nothing"


def test_greedy_answers_equal_the_reference_arithmetic(
    llm: Qwen2ForCausalLM, tokenizer: Tokenizer, asker: Asker
) -> None:
    asker.open("s")
    asker.ask("s", AppendText("system", "short"), AppendText("user", QUESTIONS[0] * 9), Generate(12, states=("text",)))
    ids = ChatTemplate(tokenizer).prompt([("system", "short"), ("user", QUESTIONS[0] * 9)])
    ids.append(tokenizer.state_ids["text"])
    llm.config._attn_implementation = "sdpa"
    said: list[int] = []
    with torch.inference_mode():
        for _ in range(12):
            logits = llm(input_ids=torch.tensor([ids + said]), use_cache=False).logits[0, -1]
            logits[list(tokenizer.state_ids.values())] = -torch.inf
            said.append(int(logits.argmax()))
    assert asker.text("s") == tokenizer.decode(said)


def test_embeddings_are_read_as_the_tokens_they_stand_for(
    llm: Qwen2ForCausalLM, tokenizer: Tokenizer, asker: Asker
) -> None:
    rows = embed(llm, torch.tensor(tokenizer.encode("hello there"))).detach()
    asker.open("words")
    asker.ask("words", AppendText("user", "hello there"), Generate(10, states=SPOKEN))
    asker.open("rows")
    asker.ask("rows", AppendEmbeddings("user", rows), Generate(10, states=SPOKEN))
    assert asker.text("rows") == asker.text("words")
    assert asker.events["rows"][1].position == asker.events["words"][1].position


def test_truncating_and_answering_again_gives_the_same_answer(asker: Asker) -> None:
    asker.open("s")
    before = asker.ask("s", AppendText("user", "one"), Checkpoint()).position
    asker.ask("s", Generate(12, states=SPOKEN))
    first = asker.text("s")
    assert asker.ask("s", AppendText("user", "two"), Truncate(before)).position == before
    asker.ask("s", Generate(12, states=SPOKEN))
    assert asker.text("s") == first + first


def test_a_checkpoint_inside_an_answer_comes_back_with_its_open_turn(asker: Asker) -> None:
    asker.open("s")
    asker.ask("s", AppendText("user", "one"), Generate(12, states=SPOKEN))
    pieces = [event for event in asker.events["s"] if event.kind is Kind.TEXT]
    cut = pieces[1].position
    asker.ask("s", AppendText("user", "noise"), Generate(5, states=SPOKEN))
    asker.events["s"].clear()
    assert asker.ask("s", Truncate(cut)).position == cut
    asker.ask("s", Generate(12 - sum(piece.count for piece in pieces[:2]), states=()))
    assert asker.text("s") == "".join(piece.text for piece in pieces[2:])
    assert not [event for event in asker.events["s"] if event.kind is Kind.JUDGEMENT]


def test_a_position_inside_turn_markers_goes_back_to_their_start(asker: Asker) -> None:
    asker.open("s")
    end = asker.ask("s", AppendText("system", "be brief")).position
    asker.ask("s", AppendText("user", "one"))
    assert asker.ask("s", Truncate(end + 1)).position == end
    assert asker.ask("s", Truncate(0)).position == 0


def test_a_stopped_answer_ends_before_the_next_step_and_the_session_goes_on(asker: Asker) -> None:
    asker.open("s")
    asker.send("s", AppendText("user", "one"))
    asker.engine.run_until_idle()

    def stop_at_first_word(event: TextEvent) -> None:
        asker.events["s"].append(event)
        if event.kind is Kind.TEXT:
            asker.engine.cancel("s")

    asker.engine.ask("s", Generate(400, states=SPOKEN), stop_at_first_word)
    asker.engine.run_until_idle()
    end = asker.events["s"][-1]
    assert (end.kind, end.text) == (Kind.END, "cancelled")
    assert end.count <= 2
    assert asker.ask("s", AppendText("user", "two"), Generate(3, states=SPOKEN)).text == "length"


def test_probabilities_are_of_the_allowed_states_and_the_likeliest_is_chosen(asker: Asker) -> None:
    asker.open("s")
    asker.ask("s", AppendText("user", "one"), Generate(1, states=("speech", "text", "noise"), noise_threshold=2.0))
    (judged,) = [event for event in asker.events["s"] if event.kind is Kind.JUDGEMENT]
    assert judged.scores is not None
    assert sum(judged.scores) == pytest.approx(1.0)
    speech, text, _ = judged.scores
    assert judged.text == ("speech" if speech > text else "text")
    asker.open("t")
    asker.ask("t", AppendText("user", "one"), Generate(1, states=("text",)))
    assert [e.scores for e in asker.events["t"] if e.kind is Kind.JUDGEMENT] == [(0.0, 1.0, 0.0)]


def test_noise_writes_nothing(asker: Asker) -> None:
    asker.open("s")
    before = asker.ask("s", AppendText("user", "one")).position
    end = asker.ask("s", Generate(9, states=("speech", "noise"), noise_threshold=0.0))
    assert (end.kind, end.text, end.position, end.count) == (Kind.END, "noise", before, 0)
    assert asker.text("s") == ""
    assert asker.ask("s", Checkpoint()).position == before


def test_what_does_not_fit_is_refused_whole(asker: Asker) -> None:
    asker.open("s")
    before = asker.ask("s", AppendText("user", "one")).position
    refused = asker.ask("s", AppendEmbeddings("user", torch.zeros(600, 384)))
    assert (refused.kind, refused.text.split(":")[0]) == (Kind.ERROR, "ERROR_REASON_CONTEXT_FULL")
    assert asker.ask("s", Checkpoint()).position == before


def test_an_answer_ends_where_the_context_does(asker: Asker) -> None:
    asker.open("s")
    asker.ask("s", AppendEmbeddings("user", torch.zeros(560, 384)))
    end = asker.ask("s", Generate(400, states=SPOKEN))
    assert (end.text, end.position) == ("length", 600)


@pytest.mark.parametrize(
    "operation",
    [
        AppendText("robot", "hello"),
        AppendText("assistant", "hello", state="loud"),
        AppendEmbeddings("user", torch.zeros(3, 7)),
        AppendEmbeddings("user", torch.full((1, 384), torch.nan)),
        Generate(max_tokens=0),
        Generate(temperature=-1.0),
        Generate(states=("shout",)),
        Truncate(-1),
        Truncate(10_000),
    ],
)
def test_a_bad_request_is_refused_and_changes_nothing(asker: Asker, operation: Operation) -> None:
    asker.open("s")
    before = asker.ask("s", AppendText("user", "one")).position
    refused = asker.ask("s", operation)
    assert (refused.kind, refused.text.split(":")[0]) == (Kind.ERROR, "ERROR_REASON_BAD_INPUT")
    assert asker.ask("s", Checkpoint()).position == before
    assert asker.ask("s", Generate(2, states=SPOKEN)).text == "length"


@pytest.mark.parametrize(("state", "is_spoken"), [("speech", True), ("text", False)])
def test_replayed_history_continues_as_the_original(
    llm: Qwen2ForCausalLM, tokenizer: Tokenizer, asker: Asker, state: str, is_spoken: bool
) -> None:
    rows = embed(llm, torch.tensor(tokenizer.encode("hello"))).detach()
    question = AppendEmbeddings("user", rows) if is_spoken else AppendText("user", "hello")
    asker.open("original")
    asker.ask("original", question, Generate(1, states=(state,)))  # one token: its text is read as that token again
    said = asker.text("original")
    assert len(tokenizer.encode(said)) == 1
    asker.open("replayed")
    asker.ask("replayed", question, AppendText("assistant", said))
    for key in ("original", "replayed"):
        asker.events[key].clear()
        asker.ask(key, AppendText("user", "and now?"), Generate(12, states=("speech",)))
    assert asker.text("replayed") == asker.text("original")
    assert _but_pieces(asker, "replayed") == _but_pieces(asker, "original"), "same positions, same probabilities"


def _but_pieces(asker: Asker, key: str) -> list[TextEvent]:
    """What was answered but for the pieces of text, whose borders are a matter of time."""
    return [event for event in asker.events[key] if event.kind is not Kind.TEXT]


def test_operations_during_an_answer_wait_for_its_end(asker: Asker) -> None:
    asker.open("s")
    asker.ask("s", AppendText("user", "one"), Generate(6, states=SPOKEN), AppendText("user", "two"), Checkpoint())
    kinds = [event.kind for event in asker.events["s"]]
    assert kinds.index(Kind.END) < kinds.index(Kind.CHECKPOINT)
    assert kinds[-2:] == [Kind.APPENDED, Kind.CHECKPOINT]


def test_a_long_read_does_not_hold_up_an_answer(asker: Asker) -> None:
    asker.open("fast")
    asker.open("slow")
    order: list[str] = []
    asker.engine.ask("fast", AppendText("user", "one"), lambda event: None)
    asker.engine.ask("slow", AppendEmbeddings("user", torch.zeros(500, 384)), lambda event: None)
    asker.engine.ask("slow", Generate(1, states=SPOKEN), lambda event: order.append("slow"))
    asker.engine.ask("fast", Generate(4, states=SPOKEN), lambda event: order.append("fast"))
    asker.engine.run_until_idle()
    assert order.index("slow") >= 3, "500 rows take 8 steps; the judgement and first words of the other come before"


def test_an_unknown_or_ended_session_is_refused(asker: Asker) -> None:
    asker.open("s")
    asker.engine.end("s")
    assert asker.ask("s", Checkpoint()).text.startswith("ERROR_REASON_COMPONENT_UNAVAILABLE")


def test_ending_a_session_ends_every_operation_in_it(asker: Asker) -> None:
    asker.open("s")
    asker.ask("s", AppendText("user", "one"))
    ended: list[TextEvent] = []
    waiting: list[TextEvent] = []

    def end_at_first_word(event: TextEvent) -> None:
        ended.append(event)
        if event.kind is Kind.TEXT:
            asker.engine.end("s")

    asker.engine.ask("s", Generate(400, states=SPOKEN), end_at_first_word)
    asker.engine.ask("s", Checkpoint(), waiting.append)
    asker.engine.run_until_idle()
    assert (ended[-1].kind, ended[-1].text) == (Kind.END, "cancelled")
    assert [event.is_last for event in ended].count(True) == 1
    assert waiting[0].text.startswith("ERROR_REASON_COMPONENT_UNAVAILABLE")


def test_when_slots_run_out_the_longest_idle_session_loses_its_own(llm: Qwen2ForCausalLM, tokenizer: Tokenizer) -> None:
    now = [0.0]
    asker = Asker(TextEngine(llm, tokenizer, TextLimits(2, 100, evict_after_s=30.0), now=lambda: now[0]))
    for key in ("old", "young", "refused", "late"):
        asker.events[key] = []
    _open_at(asker, now, "old", 0.0)
    _open_at(asker, now, "young", 20.0)
    _open_at(asker, now, "refused", 25.0)
    assert asker.events["refused"][-1].text.startswith(AtCapacity.reason)
    _open_at(asker, now, "late", 31.0)
    assert asker.events["late"][-1].kind is Kind.OPENED
    assert asker.ask("old", Checkpoint()).kind is Kind.ERROR
    assert asker.ask("young", Checkpoint()).kind is Kind.CHECKPOINT


def _open_at(asker: Asker, now: list[float], key: str, time_s: float) -> None:
    now[0] = time_s
    asker.open(key)
    asker.engine.run_until_idle()


def test_a_failed_step_is_told_to_those_in_it_and_to_nobody_else(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asker.open("idle")
    asker.ask("idle", AppendText("user", "one"))
    asker.open("busy")
    asker.send("busy", AppendText("user", "one"))
    fail: Callable[..., None] = lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory"))  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr("vita15.engine.text_engine.run_layers", fail)
        assert asker.ask("busy", Generate(3)).text.startswith("ERROR_REASON_INTERNAL")
    assert asker.ask("busy", Checkpoint()).text.startswith("ERROR_REASON_COMPONENT_UNAVAILABLE")
    assert asker.ask("idle", Generate(3, states=SPOKEN)).kind is Kind.END
    assert "engine step failed" in caplog.text
