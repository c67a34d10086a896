"""The waterfall: a bar a call, from the end of the question on, a replay above what it replays."""

from __future__ import annotations

from pathlib import Path

import pytest
from vita.recording.v1.recording_pb2 import Manifest
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_recordings.bundle import Bundle
from vita_replay.picture import Waterfall, as_text, draw, waterfall
from vita_runtime.errors import VitaError

from tests.replay.by_hand import a_turn

pytestmark = pytest.mark.unit


@pytest.fixture
def turn() -> Waterfall:
    return waterfall("recorded", Bundle(Manifest(), Snapshot(), tuple(a_turn())))


def test_each_call_has_a_bar_from_its_request_to_its_last_reply(turn: Waterfall) -> None:
    bars = {bar.row: bar for bar in turn.bars}
    assert set(bars) == {
        "speech",
        "vision_encoder",
        "speech_encoder",
        "llm",
        "speech_decoder",
        "codec_decoder",
        "text",
        "sound",
    }
    # 10 ms a record: the request is the fourth, two tiles follow.
    assert (bars["vision_encoder"].start_ms, bars["vision_encoder"].first_ms, bars["vision_encoder"].end_ms) == (
        30,
        40,
        50,
    )


def test_as_text_both_turns_share_one_axis_and_the_rows_go_by_stage(turn: Waterfall) -> None:
    lines = as_text([turn, Waterfall("replayed", turn.bars)]).splitlines()
    half = len(lines) // 2
    assert lines[1:half] == lines[half + 1 :]
    names = [line.split()[0] for line in lines[1:half]]
    assert names == [
        "speech",
        "vision_encoder",
        "speech_encoder",
        "llm",
        "llm",
        "llm",
        "speech_decoder",
        "codec_decoder",
        "text",
        "sound",
    ]


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_picture_is_what_its_name_says(turn: Waterfall, tmp_path: Path, suffix: str, start: bytes) -> None:
    out = tmp_path / f"turn.{suffix}"
    draw([turn, turn], out)
    assert out.read_bytes().startswith(start)


def test_a_picture_of_an_unknown_kind_is_refused_in_one_line(turn: Waterfall, tmp_path: Path) -> None:
    with pytest.raises(VitaError, match="cannot be written"):
        draw([turn], tmp_path / "turn.vita")


def test_a_turn_without_a_message_can_be_drawn() -> None:
    assert as_text([Waterfall("empty", ())]) == "nothing passed\n"
