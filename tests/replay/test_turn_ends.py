"""What was judged of a sentence's end decides in its replay: a golden turn with a pause, and other judgements."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vita.recording.v1.recording_pb2 import KIND_OBSERVED, Record
from vita_recordings.bundle import Bundle, read, write
from vita_replay.replaying import Options, replay

pytestmark = pytest.mark.unit

PAUSED = Path(__file__).parents[1] / "golden" / "unfinished.vita.zip"  # "Please count … to twenty."
RECORDED_MS = 3000  # of the utterance
SPEED = 6.0


def judged(bundle: Bundle, finished: list[str]) -> Bundle:
    """The recording as if its silences had been judged so, one after another."""
    records, left = list[Record](), list(finished)
    for one in bundle.records:
        record = Record()
        record.CopyFrom(one)
        if (record.kind, record.name) == (KIND_OBSERVED, "finished"):
            record.content = left.pop(0).encode()
        records.append(record)
    assert not left
    return Bundle(bundle.manifest, bundle.snapshot, tuple(records))


def divergence(folder: Path, finished: list[str]) -> str:
    bundle = judged(read(PAUSED), finished)
    found = replay(Options(write(bundle, folder), speed=SPEED)).copies[0].divergence
    return "" if found is None else str(found)


def asked_ms(said: str) -> int:
    """How long the utterance was that no recording holds."""
    found = re.search(r"asked for an utterance of (\d+) ms", said)
    assert found, said
    return int(found[1])


def test_the_pause_was_judged_unfinished_and_the_end_finished() -> None:
    said = [record.content.decode() for record in read(PAUSED).records if record.name == "finished"]
    assert [float(each) >= 0.5 for each in said] == [False, True]


def test_the_same_judgements_give_the_same_turn(tmp_path: Path) -> None:
    assert divergence(tmp_path, ["0.2", "0.8"]) == ""


def test_a_pause_that_is_judged_finished_ends_the_turn(tmp_path: Path) -> None:
    assert asked_ms(divergence(tmp_path, ["0.8", "0.8"])) < RECORDED_MS - 1000


def test_behind_an_end_that_is_judged_unfinished_the_conversation_waits_longer(tmp_path: Path) -> None:
    assert asked_ms(divergence(tmp_path, ["0.2", "0.2"])) > RECORDED_MS + 900
