"""A conversation's events in a form that does not depend on timing: lanes, each in its order.

How words and sound were cut into messages is timing, and so is how events of different lanes interleave: what the model
writes, what the microphone's end hears, and what an answer is, go side by side. Within a lane the order is meaning.
Times that the service measured, and what an interrupted answer had cost by then, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, KIND_REPLY, KIND_REQUEST, Record

CUT = (wire.RESPONSE_OUTCOME_INTERRUPTED, wire.RESPONSE_OUTCOME_CANCELLED)  # how much there was by then is timing
STREAMED = ("text_delta", "answer_audio")
OF_A_RESPONSE = (
    "response_started",
    "query_judged",
    "tool_called",
    "output_held",
    "output_released",
    "response_done",
)
INPUT_COUNTS = ("input_text_token_count", "input_audio_token_count", "input_image_token_count")
OUTSIDE = ("opened", "session_ending")  # of the stream and the process, not of the conversation


@dataclass(frozen=True, slots=True)
class Event:
    """An event without what is timing."""

    number: int  # of its record, from 1
    kind: str
    message: Message
    turn_id: str


@dataclass(slots=True)
class Lane:
    """Events in order, and what was streamed between them."""

    events: list[Event] = field(default_factory=list[Event])
    text: str = ""
    sound: bytes = b""
    text_ends: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # bytes so far, record's number
    sound_ends: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    @property
    def outcome(self) -> wire.ResponseOutcome:
        """How the answer ended."""
        done = [event.message for event in self.events if event.kind == "response_done"]
        return done[0].outcome if done else wire.RESPONSE_OUTCOME_UNSPECIFIED  # type: ignore[attr-defined]

    def stream(self, number: int, message: wire.ConverseResponse) -> None:
        """Take words or sound."""
        if message.HasField("text_delta"):
            self.text += message.text_delta.text
            self.text_ends.append((len(self.text.encode()), number))
        else:
            self.sound += message.answer_audio.audio.samples
            self.sound_ends.append((len(self.sound), number))


def lanes_of(records: Sequence[Record], *, is_history_held: bool = True) -> dict[str, Lane]:
    """Return the lanes: "" for the session's own, and one for each response by its id, in order of appearance.

    Args:
        records: A recording's.
        is_history_held: False: embeddings of the history may be stand-ins, so they are not counted.
    """
    lanes: dict[str, Lane] = {"": Lane()}
    for number, record in enumerate(records, start=1):
        if record.edge != EDGE_CONVERSATION or record.kind != KIND_REPLY:
            continue
        message = wire.ConverseResponse.FromString(record.content)
        kind = message.WhichOneof("event") or ""
        if not kind or kind in OUTSIDE:
            continue
        event = getattr(message, kind)
        is_of_a_response = kind in STREAMED or kind in OF_A_RESPONSE
        lane = lanes.setdefault(event.response_id if is_of_a_response else "", Lane())
        if kind in STREAMED:
            lane.stream(number, message)
        else:
            lane.events.append(Event(number, kind, timeless(event, is_history_held=is_history_held), message.turn_id))
    return lanes


def requests_of(records: Sequence[Record]) -> list[tuple[int, wire.ConverseRequest]]:
    """Return what the client asked of the conversation, but for opening it, with the numbers of the records."""
    requests: list[tuple[int, wire.ConverseRequest]] = []
    for number, record in enumerate(records, start=1):
        if record.edge == EDGE_CONVERSATION and record.kind == KIND_REQUEST:
            request = wire.ConverseRequest.FromString(record.content)
            if request.WhichOneof("event") not in (None, "open", "client_records"):
                requests.append((number, request))
    return requests


def timeless(event: Message, *, is_history_held: bool = True) -> Message:
    """Return an event without what was measured."""
    if not isinstance(event, wire.ResponseDone):
        return event
    copy = wire.ResponseDone()
    copy.CopyFrom(event)
    copy.ClearField("stage_times")
    if not is_history_held:
        for name in INPUT_COUNTS:
            copy.usage.ClearField(name)
    if event.outcome in (*CUT, wire.RESPONSE_OUTCOME_FAILED):
        copy.ClearField("usage")
        copy.ClearField("audio_ms")
    return copy
