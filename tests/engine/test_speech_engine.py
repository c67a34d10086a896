"""Laws of the speech engine, on a random tiny model."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from vita15.config import TINY
from vita15.engine.speech_engine import Clause, CodesEvent, SpeechEngine, SpeechLimits
from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

CLAUSES = ["Hello.", "It is a red circle,", "你好。", "and there is nothing else in this picture at all", "a", "No!"]


def speak(engine: SpeechEngine, *clauses: tuple[str, int]) -> list[list[CodesEvent]]:
    events: list[list[CodesEvent]] = [[] for _ in clauses]
    for (text, seed), said in zip(clauses, events, strict=True):
        engine.speak(Clause(text, seed, said.append))
    engine.run_until_idle()
    return events


def codes(events: list[CodesEvent]) -> list[int]:
    return [code for event in events for code in event.codes]


@pytest.fixture
def engine(speech_decoder: SpeechDecoder, tokenizer: Tokenizer) -> SpeechEngine:
    return SpeechEngine(speech_decoder, tokenizer)


def test_clauses_spoken_together_equal_those_alone(
    speech_decoder: SpeechDecoder, tokenizer: Tokenizer, engine: SpeechEngine
) -> None:
    asked = [(text, seed) for seed, text in enumerate(CLAUSES)]
    together = [codes(events) for events in speak(engine, *asked)]
    alone = [codes(speak(SpeechEngine(speech_decoder, tokenizer), clause)[0]) for clause in asked]
    assert together == alone


def test_without_chance_the_engine_says_what_the_model_says(tokenizer: Tokenizer) -> None:
    torch.manual_seed(2)
    decoder = SpeechDecoder(dataclasses.replace(TINY.speech_decoder, top_k=1, max_codes=60)).eval()
    spoken = codes(speak(SpeechEngine(decoder, tokenizer), (CLAUSES[1], 1))[0])
    decoder.llama._attn_implementation = "sdpa"
    expected, _ = decoder.generate(torch.tensor(tokenizer.encode(CLAUSES[1])))
    assert spoken == expected


def test_a_seed_gives_the_same_codes_again_and_another_gives_others(engine: SpeechEngine) -> None:
    first, again, other = speak(engine, ("Hello.", 1), ("Hello.", 1), ("Hello.", 2))
    assert codes(first) == codes(again) != codes(other)


def test_special_ids_are_never_said(engine: SpeechEngine) -> None:
    for events in speak(engine, *[(text, seed) for text in CLAUSES for seed in range(3)]):
        assert all(0 <= code < 1024 for code in codes(events))


def test_chunks_grow_and_the_last_one_says_so(speech_decoder: SpeechDecoder, tokenizer: Tokenizer) -> None:
    engine = SpeechEngine(speech_decoder, tokenizer, SpeechLimits(chunk_codes=(5, 10, 20)))
    (events,) = speak(engine, ("Hello.", 0))
    if len(codes(events)) > 60:
        assert [len(event.codes) for event in events][:4] == [5, 10, 20, 20]
    assert [event.is_last for event in events] == [False] * (len(events) - 1) + [True]


def test_a_clause_ends_at_the_most_codes_allowed(speech_decoder: SpeechDecoder, tokenizer: Tokenizer) -> None:
    with torch.no_grad():
        before = speech_decoder.out_fnn.bias[speech_decoder.special.speech_end].clone()
        speech_decoder.out_fnn.bias[speech_decoder.special.speech_end] = -100
        (events,) = speak(SpeechEngine(speech_decoder, tokenizer), ("Hello.", 0))
        speech_decoder.out_fnn.bias[speech_decoder.special.speech_end] = before
    assert len(codes(events)) == speech_decoder.config.max_codes
    assert [len(event.codes) for event in events] == [10, 20, 40, 40, 10]


def test_a_cancelled_clause_says_nothing_more_and_the_others_go_on(engine: SpeechEngine) -> None:
    heard: list[CodesEvent] = []
    clause = Clause("Hello.", 1, lambda event: (heard.append(event), engine.cancel(clause))[0])
    engine.speak(clause)
    (others,) = speak(engine, ("Hello.", 1))
    assert len(heard) == 1
    assert codes(others)[: len(heard[0].codes)] == list(heard[0].codes)
    assert others[-1].is_last


def test_more_clauses_than_places_take_turns(speech_decoder: SpeechDecoder, tokenizer: Tokenizer) -> None:
    engine = SpeechEngine(speech_decoder, tokenizer, SpeechLimits(max_clauses=2))
    events = speak(engine, *[("Hello.", 3)] * 5)
    assert all(said[-1].is_last for said in events)
    assert all(codes(said) == codes(events[0]) for said in events)
    assert engine.statistics.sessions == 0


def test_a_text_that_leaves_no_room_is_refused_and_an_empty_one_is_silent(engine: SpeechEngine) -> None:
    (long, empty) = speak(engine, ("word " * 2000, 0), ("", 0))
    assert [event.error.split(":")[0] for event in long] == ["ERROR_REASON_BAD_INPUT"]
    assert empty == [CodesEvent((), is_last=True)]
