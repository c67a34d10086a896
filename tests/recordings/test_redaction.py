"""A redacted recording: nothing that was said, shown or answered is left; times, sizes, kinds and counts are."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ContentPart, Item, ToolCall, ToolResult
from vita.media.v1.media_pb2 import AudioChunk, AudioClip, ImageFrame
from vita.recording.v1 import recording_pb2 as pb
from vita.recording.v1.snapshot_pb2 import Medium, Snapshot
from vita.session.v1.session_pb2 import Entry, Mark, Session
from vita_components.tensors import Tensor, integer_tensor, text_tensor
from vita_components.triton import build_request
from vita_recordings.bundle import Bundle, read, write
from vita_recordings.redaction import redacted
from vita_recordings.schema import parse

pytestmark = pytest.mark.unit

SECRET = "geheim"
RAW = SECRET.encode()
OURS = "item_" + "0" * 24


def record(content: Message | bytes | str, **fields: Any) -> pb.Record:
    if isinstance(content, Message):
        raw = content.SerializeToString()
        return pb.Record(type=content.DESCRIPTOR.full_name, content=raw, byte_count=len(raw), **fields)
    raw = content.encode() if isinstance(content, str) else content
    return pb.Record(content=raw, byte_count=len(raw), **fields)


def stripped(content: Message | bytes | str, **fields: Any) -> pb.Record:
    return redacted(Bundle(pb.Manifest(), Snapshot(), (record(content, **fields),))).records[0]


def failure() -> wire.ConverseResponse:
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason="ERROR_REASON_BAD_INPUT", domain="vita", metadata={"value": SECRET}))
    return wire.ConverseResponse(
        failure=wire.Failure(status=Status(code=3, message=SECRET, details=[detail]), client_event_id=SECRET)
    )


MESSAGES: list[Message] = [
    wire.ConverseRequest(open=wire.Open(configuration=wire.SessionConfiguration(instructions=SECRET))),
    wire.ConverseRequest(audio=AudioChunk(samples=RAW), client_event_id=SECRET),
    wire.ConverseRequest(image=ImageFrame(content=RAW)),
    wire.ConverseRequest(
        create_item=wire.CreateItem(
            previous_item_id=SECRET,
            item=Item(
                item_id=SECRET,
                parts=[ContentPart(text=SECRET), ContentPart(audio=AudioClip(samples=RAW, transcript=SECRET))],
                tool_call=ToolCall(call_id=SECRET, name=SECRET, arguments=SECRET),
            ),
        )
    ),
    wire.ConverseRequest(
        configure=wire.Configure(
            configuration=wire.SessionConfiguration(
                tools=wire.Tools(tools=[wire.Tool(name=SECRET, description=SECRET, parameters=SECRET)]),
                tool_choice=wire.ToolChoice(use=wire.TOOL_USE_REQUIRED, tool_name=SECRET),
            )
        )
    ),
    wire.ConverseRequest(create_item=wire.CreateItem(item=Item(tool_result=ToolResult(call_id=SECRET, output=SECRET)))),
    wire.ConverseResponse(
        tool_called=wire.ToolCalled(
            item=Item(tool_call=ToolCall(call_id=SECRET, name=SECRET, arguments=SECRET)), previous_item_id=SECRET
        )
    ),
    build_request("llm", [text_tensor("TEXT", SECRET), text_tensor("TOOLS", SECRET)], {"op": "append_text"}),
    build_request("llm", [text_tensor("TEXT", SECRET)], {"op": "append_call"}),
    build_request("llm", [], {"op": "generate", "max_calls": 1, "tool_choice": "required", "tool_name": SECRET}),
    wire.ConverseRequest(create_response=wire.CreateResponse(metadata={SECRET: SECRET})),
    wire.ConverseResponse(text_delta=wire.TextDelta(text=SECRET)),
    wire.ConverseResponse(answer_audio=wire.AnswerAudio(audio=AudioChunk(samples=RAW))),
    wire.ConverseResponse(item_truncated=wire.ItemTruncated(text=SECRET)),
    wire.ConverseResponse(response_done=wire.ResponseDone(metadata={SECRET: SECRET})),
    failure(),
    build_request("llm", [text_tensor("TEXT", SECRET)], {"op": "append_text", "session_id": SECRET, "note": SECRET}),
    build_request("speech_encoder", [integer_tensor("SAMPLES", [2, 3])], {"op": SECRET + "!"}, SECRET),
    build_request("codec_decoder", [text_tensor(SECRET, SECRET)]),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.DESCRIPTOR.name)
def test_nothing_that_was_said_is_left(message: Message) -> None:
    found = stripped(message)
    assert RAW not in found.SerializeToString()
    assert found.byte_count == message.ByteSize()
    assert parse(found.type, found.content) is not None


@pytest.mark.parametrize("content", ['{"type": "geheim!"}', '{"type": "x", "delta": "geheim"}', RAW, "[geheim"])
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "no.such.Message", ""])
def test_nothing_that_the_client_sent_is_left(content: str | bytes, media_type: str) -> None:
    found = stripped(content, type=media_type, edge=pb.EDGE_CLIENT, name=SECRET + " !")
    assert RAW not in found.SerializeToString()
    assert found.byte_count == len(content)


def test_the_type_of_the_clients_events_is_kept() -> None:
    found = stripped('{"type": "response.done", "x": "geheim"}', type="application/json")
    assert found.content == b'{"type": "response.done"}'


def test_numbers_and_outcomes_are_kept() -> None:
    done = wire.ResponseDone(
        response_id="resp_" + "1" * 24, outcome=wire.RESPONSE_OUTCOME_INTERRUPTED, audio_ms=840,
        usage=wire.Usage(output_text_token_count=7),
    )  # fmt: skip
    message = wire.ConverseResponse(sequence_number=4, response_done=done)
    assert stripped(message).content == message.SerializeToString()


def test_the_reason_of_a_failure_is_kept() -> None:
    kept = wire.ConverseResponse.FromString(stripped(failure()).content)
    info = ErrorInfo()
    assert kept.failure.status.details[0].Unpack(info)
    assert (info.reason, kept.failure.status.code) == ("ERROR_REASON_BAD_INPUT", 3)


def test_operations_positions_and_shapes_are_kept() -> None:
    request = build_request("codec_decoder", [integer_tensor("CODES", [1, 2, 3]), integer_tensor("KEEP_FROM", [1])])
    found: Any = parse("inference.ModelInferRequest", stripped(request).content)
    assert [(part.name, list(part.shape)) for part in found.inputs] == [("CODES", [3]), ("KEEP_FROM", [1])]
    assert list(found.raw_input_contents) == [b"", b"\x01\0\0\0"]
    asked = build_request("llm", parameters={"op": "generate", "sequence": 5, "temperature": 0.5})
    found = parse("inference.ModelInferRequest", stripped(asked).content)
    assert found.parameters["op"].string_param == "generate"
    calling = build_request("llm", parameters={"op": "generate", "max_calls": 3, "tool_choice": "required"})
    tools: Any = parse("inference.ModelInferRequest", stripped(calling).content)
    assert (tools.parameters["max_calls"].int64_param, tools.parameters["tool_choice"].string_param) == (3, "required")
    assert (found.parameters["sequence"].int64_param, found.parameters["temperature"].double_param) == (5, 0.5)


@pytest.mark.parametrize(
    ("kind", "text", "is_kept"),
    [
        ("end", "stop", True),
        ("end", "bad_call", True),
        ("text", "stop", False),
        ("tool_call", '{"name": "stop"}', False),
        ("end", SECRET, False),
    ],
)
def test_how_an_answer_ended_is_kept_and_its_words_are_not(kind: str, text: str, is_kept: bool) -> None:
    reply: Any = parse("inference.ModelInferResponse", b"")
    for part in (text_tensor("KIND", kind), text_tensor("TEXT", text), integer_tensor("POSITION", [9])):
        reply.outputs.add(name=part.name, datatype=part.datatype, shape=part.shape)
        reply.raw_output_contents.append(part.raw)
    found: Any = parse("inference.ModelInferResponse", stripped(reply).content)
    assert bool(found.raw_output_contents[1]) is is_kept
    assert list(found.raw_output_contents)[0::2] == [text_tensor("KIND", kind).raw, b"\x09\0\0\0"]


def test_what_is_made_of_a_sentence_is_a_number_and_is_kept() -> None:
    reply: Any = parse("inference.ModelInferResponse", b"")
    finished, heard_ms = Tensor("FINISHED", "FP32", (1,), b"\0\0\x80\x3e"), integer_tensor("HEARD_MS", [960])
    for part in (Tensor("EMBEDDINGS", "FP16", (1, 3), RAW), finished, heard_ms):
        reply.outputs.add(name=part.name, datatype=part.datatype, shape=part.shape)
        reply.raw_output_contents.append(part.raw)
    found: Any = parse("inference.ModelInferResponse", stripped(reply).content)
    assert list(found.raw_output_contents) == [b"", finished.raw, heard_ms.raw]
    observed = {"edge": pb.EDGE_INSIDE, "kind": pb.KIND_OBSERVED, "name": "finished"}
    assert stripped("0.250", **observed).content == b"0.250"


def test_ids_of_our_own_are_kept_and_others_still_tell_their_equals() -> None:
    events = [
        wire.ConverseRequest(delete_item=wire.DeleteItem(item_id=name)) for name in (OURS, SECRET, SECRET, "other")
    ]
    bundle = redacted(Bundle(pb.Manifest(), Snapshot(), tuple(record(event) for event in events)))
    ids = [wire.ConverseRequest.FromString(found.content).delete_item.item_id for found in bundle.records]
    assert ids[0] == OURS
    assert ids[1] == ids[2] != ids[3]


def test_what_was_observed_is_kept() -> None:
    assert stripped("17", type="text/plain", edge=pb.EDGE_INSIDE, name="seed").content == b"17"
    found = stripped(OURS, type="text/plain", edge=pb.EDGE_INSIDE, name="id/item")
    assert (found.content.decode(), found.name) == (OURS, "id/item")


def test_the_snapshot_keeps_its_counts(tmp_path: Path) -> None:
    entry = Entry(item=Item(item_id=OURS, parts=[ContentPart(text=SECRET)]), marks=[Mark(text_end=6, audio_end_ms=9)])
    snapshot = Snapshot(
        session=Session(entries=[entry], tenant_id=SECRET, generation=2), media=[Medium(media_id="m", content=RAW)],
        kept_sound=RAW, context_position=31,
    )  # fmt: skip
    path = write(redacted(Bundle(pb.Manifest(form=pb.FORM_FULL), snapshot, ())), tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert all(RAW not in archive.read(name) for name in archive.namelist())
    found = read(path)
    assert found.manifest.form == pb.FORM_REDACTED
    assert found.snapshot.context_position == 31
    assert found.snapshot.session.entries[0].marks[0].text_end == 6
    assert snapshot.kept_sound == RAW, "what was given must not change"
