"""The first divergence: a stage is named where the same input gave something else, and nothing that is only timing."""

from __future__ import annotations

from typing import Any

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.snapshot_pb2 import Medium, Snapshot
from vita_replay.compare import first_divergence

from tests.replay.by_hand import Recording, a_turn

pytestmark = pytest.mark.unit

INTERRUPTED = wire.RESPONSE_OUTCOME_INTERRUPTED

# What each stage says otherwise, and what follows from it downstream.
OTHERWISE: dict[str, dict[str, Any]] = {
    "vision_encoder": {"see": {"rows": (b"ab", b"xd")}, "think": {"pieces": ("Blue",)}, "answer": {"text": ("Blue",)}},
    "speech_encoder": {"hear": {"rows": (b"efgh", b"ijkx")}, "think": {"question": (b"efghijkx",)}},
    "llm": {"think": {"pieces": ("Blue", ".")}, "voice": {"clause": "Blue."}, "answer": {"text": ("Blue", ".")}},
    "speech_decoder": {"voice": {"codes": ((1, 2), (4,))}, "decode": {"codes": (1, 2, 4)}},
    "codec_decoder": {"decode": {"sound": b"samples?"}, "answer": {"sound": (b"samples?",)}},
    "conversation": {"answer": {"sound": (b"samp", b"les?")}},
}

# What is the same, said otherwise.
TIMING: dict[str, dict[str, Any]] = {
    "words in other pieces": {
        "think": {"pieces": ("Re", "d."), "question": (b"efghijkl",)},
        "answer": {"text": ("Red.",)},
    },
    "sound in other pieces": {
        "hear": {"sound": (b"sounding",), "rows": (b"efghijkl",)},
        "answer": {"sound": (b"samples!",)},
    },
    "codes in other chunks": {"voice": {"codes": ((1,), (2,), (3,))}},
    "other times": {"answer": {"first_text_ms": 900}},
    "a history before it": {"think": {"history": ("Hello.",)}},
    "a probability's last bits": {"think": {"speech": 0.90001}},
}


def test_a_turn_is_the_same_as_itself() -> None:
    assert first_divergence(a_turn(), a_turn()) is None


@pytest.mark.parametrize("changes", TIMING.values(), ids=TIMING.keys())
def test_what_is_only_timing_is_no_difference(changes: dict[str, Any]) -> None:
    assert first_divergence(a_turn(), a_turn(**changes)) is None


@pytest.mark.parametrize("stage", OTHERWISE)
def test_the_stage_that_answers_otherwise_is_named(stage: str) -> None:
    changes = OTHERWISE[stage]
    found = first_divergence(a_turn(), a_turn(**changes))
    assert found is not None
    assert found.stage == stage
    assert found.message > 0


@pytest.mark.parametrize("stage", ["vision_encoder", "speech_decoder"])
def test_the_message_that_differs_is_named(stage: str) -> None:
    changes = OTHERWISE[stage]
    found = first_divergence(a_turn(), a_turn(**changes))
    assert found is not None
    assert "reply 2 to" in found.what


def test_no_words_beyond_40_characters_are_shown() -> None:
    found = first_divergence(a_turn(), a_turn(think={"pieces": ("B" * 500,)}))
    assert found is not None
    assert max(len(found.expected), len(found.got)) <= 42, "with its quotes"


def test_an_interrupted_answer_may_have_come_less_far_if_it_was_cut_alike() -> None:
    cut = {"think": {"end": "cancelled"}, "answer": {"outcome": INTERRUPTED, "kept": "Red"}}
    less = {
        "think": {"pieces": ("Red",), "end": "cancelled"},
        "answer": {**cut["answer"], "text": ("Red",), "sound": ()},
    }
    assert first_divergence(a_turn(**cut), a_turn(**less)) is None
    elsewhere = {**less, "answer": {**less["answer"], "kept": ""}}
    found = first_divergence(a_turn(**cut), a_turn(**elsewhere))
    assert found is not None
    assert (found.stage, found.what) == ("conversation", "event response_done")


def test_what_was_asked_twice_because_a_replica_was_lost_is_asked_once() -> None:
    recording = Recording()
    recording.voice(codes=((1,),), is_whole=False)
    recording.voice()
    once = Recording()
    once.voice()
    assert first_divergence(recording.records, once.records) is None
    assert first_divergence(once.records, recording.records) is None


def test_a_component_that_was_lost_for_good_is_named_where_the_answer_failed() -> None:
    recorded, failed = a_turn(), Recording()
    failed.one("speech_decoder", (), (), "ERROR_REASON_COMPONENT_UNAVAILABLE")
    whole = [*a_turn(answer={"outcome": wire.RESPONSE_OUTCOME_FAILED, "sound": ()}), *failed.records]
    found = first_divergence(recorded, whole)
    assert found is not None
    assert (found.stage, found.got) == ("speech_decoder", "ERROR_REASON_COMPONENT_UNAVAILABLE")


def test_a_component_that_is_asked_something_new_is_not_at_fault() -> None:
    changed = a_turn(voice={"clause": "Read."}, answer={"sound": (b"samp",)})
    found = first_divergence(a_turn(), changed)
    assert found is not None
    assert found.stage == "conversation"
    assert found.what == "speech_decoder was asked for the clause 'Read.'"


def test_a_context_that_was_open_before_the_recording_is_compared_by_its_tail() -> None:
    recorded = a_turn(think={"is_opened": False})
    replayed = a_turn(think={"history": ("Hello.", "I am.")})
    assert first_divergence(recorded, replayed, Snapshot(context_position=30)) is None


def test_a_medium_of_the_history_is_looked_at_again_for_nobodys_fault() -> None:
    replayed = Recording(records=a_turn(answer={"sound": (b"samp",)}))
    replayed.see(picture=b"shown before")
    snapshot = Snapshot(media=[Medium(content=b"shown before")])
    found = first_divergence(a_turn(), replayed.records, snapshot)
    assert found is not None
    assert found.what == "the answer's sound"


def test_a_request_that_was_never_sent_is_the_client() -> None:
    more = Recording(records=a_turn())
    more.ask(report_playback=wire.ReportPlayback(response_id="resp_1", played_ms=40))
    found = first_divergence(more.records, a_turn())
    assert found is not None
    assert (found.stage, found.expected, found.got) == ("client", "report_playback", "nothing")
