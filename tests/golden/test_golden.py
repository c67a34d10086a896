"""Golden turns: recorded once on the real stack (scripts/golden.py), replayed between recorded components in seconds.

A change of the orchestrator that makes any of them sound or say otherwise shows here, with the stage and the message.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import vita_components.triton  # noqa: F401  # makes KServe's messages known
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, KIND_REPLY
from vita_recordings.bundle import SUFFIX, Bundle, read
from vita_replay.calls import calls_of
from vita_replay.replaying import Options, replay

pytestmark = pytest.mark.unit

SHELF = Path(__file__).parent
TURNS = ("plain", "picture", "barge-in", "cough", "follow-up", "replica-lost", "long-answer", "tool", "unfinished")
SPEED = 6.0  # more, and a stall of a busy machine is longer than the pauses that decide who speaks
LARGEST_SHELF = 7 << 20  # bytes


def events(bundle: Bundle) -> list[wire.ConverseResponse]:
    return [
        wire.ConverseResponse.FromString(record.content)
        for record in bundle.records
        if record.edge == EDGE_CONVERSATION and record.kind == KIND_REPLY
    ]


def kinds(bundle: Bundle) -> list[str]:
    return [event.WhichOneof("event") or "" for event in events(bundle)]


def golden(name: str) -> Path:
    return SHELF / f"{name}{SUFFIX}"


@pytest.mark.parametrize("name", TURNS)
def test_a_golden_turn_is_the_same_today(name: str) -> None:
    report = replay(Options(golden(name), speed=SPEED))
    assert [str(copy.divergence) for copy in report.copies if copy.divergence] == []
    assert all(copy.is_sound_identical or name == "barge-in" for copy in report.copies)


def test_eight_copies_at_once_are_eight_times_the_same() -> None:
    report = replay(Options(golden("picture"), copies=8, speed=2.0))
    assert [str(copy.divergence) for copy in report.copies if copy.divergence] == []


def test_a_component_that_is_killed_is_named() -> None:
    report = replay(Options(golden("long-answer"), kills={"codec_decoder": 0.3}, speed=SPEED))
    divergence = report.copies[0].divergence
    assert divergence is not None
    assert divergence.stage == "codec_decoder"


def test_a_slow_component_changes_no_sample_and_no_event() -> None:
    report = replay(Options(golden("plain"), slows={"llm": 3.0}, speed=SPEED))
    assert report.is_identical
    assert report.copies[0].first_sound_ms > report.recorded_sound_ms + 20  # type: ignore[operator]


def test_the_shelf_holds_what_its_names_say() -> None:
    shelf = {name: read(golden(name)) for name in TURNS}
    assert set(SHELF.glob(f"*{SUFFIX}")) == {golden(name) for name in TURNS}
    assert [turn.outcome for turn in shelf["barge-in"].manifest.turns][-2:] == ["interrupted", "completed"]
    assert {"output_held", "output_released"} <= set(kinds(shelf["cough"]))
    assert "output_released" not in kinds(shelf["plain"])
    assert len(shelf["follow-up"].snapshot.session.entries) >= 3, "a picture, a question and its answer"
    assert any(call.component == "vision_encoder" for call in calls_of(shelf["picture"].records))
    assert any(call.component == "llm" and call.failure for call in calls_of(shelf["replica-lost"].records))
    assert max(event.response_done.audio_ms for event in events(shelf["long-answer"])) > 4000
    assert kinds(shelf["tool"]).count("tool_called") == 1
    assert kinds(shelf["tool"]).count("response_done") == 2, "the call, and the answer from what it said"
    assert kinds(shelf["unfinished"]).count("speech_stopped") == 1, "a pause ended the turn"


def test_the_shelf_is_small() -> None:
    assert sum(path.stat().st_size for path in SHELF.glob(f"*{SUFFIX}")) <= LARGEST_SHELF
