"""What a speech encoder with a head said decides in the replay of a recording: a golden turn, given such an encoder."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import vita_components.triton  # noqa: F401  # makes KServe's messages known
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, KIND_REPLY, Record
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_components.tensors import Tensor, integer_tensor
from vita_recordings.bundle import Bundle, read, write
from vita_recordings.schema import parse
from vita_replay.replaying import Options, replay
from vita_replay.report import Report

pytestmark = pytest.mark.unit

SPOKEN = Path(__file__).parents[1] / "golden" / "picture.vita.zip"
SPEED = 6.0
MS_PER_ROW = 80


def with_head(bundle: Bundle, finished: float) -> Bundle:
    """The recording as if its speech encoder had found every beginning as finished as that, and been asked."""
    snapshot, records, row_count = Snapshot(), list[Record](), 0
    snapshot.CopyFrom(bundle.snapshot)
    snapshot.session.configuration.turn_detection.unfinished_silence_duration_ms = 1500
    for one in bundle.records:
        record = Record()
        record.CopyFrom(one)
        if (record.component, record.kind) == ("speech_encoder", KIND_REPLY):
            reply: Any = parse(record.type, record.content)
            row_count += reply.outputs[0].shape[0]
            heard_ms = integer_tensor("HEARD_MS", [MS_PER_ROW * (row_count + 2)])  # four frames are still waited for
            for part in (Tensor("FINISHED", "FP32", (1,), struct.pack("<f", finished)), heard_ms):
                reply.outputs.add(name=part.name, datatype=part.datatype, shape=part.shape)
                reply.raw_output_contents.append(part.raw)
            record.content = reply.SerializeToString()
        elif (record.edge, record.kind) == (EDGE_CONVERSATION, KIND_REPLY):
            event = wire.ConverseResponse.FromString(record.content)
            if event.HasField("configured"):
                event.configured.configuration.turn_detection.unfinished_silence_duration_ms = 1500
                record.content = event.SerializeToString()
        records.append(record)
    return Bundle(bundle.manifest, snapshot, tuple(records))


def replayed(folder: Path, finished: float) -> Report:
    return replay(Options(write(with_head(read(SPOKEN), finished), folder), speed=SPEED))


def test_behind_a_finished_sentence_the_golden_turn_is_the_same(tmp_path: Path) -> None:
    assert [str(copy.divergence) for copy in replayed(tmp_path, 0.9).copies if copy.divergence] == []


def test_behind_an_unfinished_sentence_the_conversation_waits_longer(tmp_path: Path) -> None:
    divergence = replayed(tmp_path, 0.1).copies[0].divergence
    assert divergence is not None
    assert divergence.what.startswith("speech_encoder was asked for an utterance of"), "one with more silence"
