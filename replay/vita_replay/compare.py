"""Where a replay first differs from what it replays: the stage, and the message.

The stages are looked at in the order in which they depend on each other. A component is at fault where it was asked the
same as in the recording and answered otherwise; where it was asked something else, somebody before it is. If no
component is at fault and the events differ all the same, the conversation is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from google.protobuf import text_format
from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.recording_pb2 import Record
from vita.recording.v1.snapshot_pb2 import Snapshot

from vita_replay.calls import Call, calls_of, of_component
from vita_replay.events import CUT, Event, Lane, lanes_of, requests_of
from vita_replay.outputs import LABEL_CHARS, Output, find, outputs_of, short

COMPONENTS = ("vision_encoder", "speech_encoder", "llm", "speech_decoder", "codec_decoder")
STAGES = ("client", *COMPONENTS, "conversation")
# The model's reply is the same to the last bit where its context was read in the same pieces; a context that was
# rebuilt, or read ahead in other pieces, sums in another order.
PROBABILITY_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first thing that is not as it was."""

    stage: str
    message: int  # number of the replay's record, from 1; 0: there is none
    what: str
    expected: str
    got: str

    def __str__(self) -> str:
        """One line."""
        where = f" (record {self.message})" if self.message else ""
        return f"{self.stage}{where}: {self.what}: expected {self.expected}, got {self.got}"


def first_divergence(
    recorded: Sequence[Record], replayed: Sequence[Record], snapshot: Snapshot | None = None
) -> Divergence | None:
    """Compare a replay with what it replays; None: it is the same.

    Args:
        recorded: The bundle's records.
        replayed: The replay's records.
        snapshot: What the session was when the recording began.
    """
    before = snapshot or Snapshot()
    history = [medium.content for medium in before.media]
    calls = calls_of(recorded), calls_of(replayed)
    found = _client(recorded, replayed)
    unknown: Divergence | None = None
    failed: Divergence | None = None
    for component in COMPONENTS:
        theirs = outputs_of(component, calls[0], before.context_position)
        for output in outputs_of(component, calls[1]):
            known = find(component, theirs, output)
            if known is not None:
                found = found or _output(component, known, output)
            elif not _is_of(history, output):
                unknown = unknown or _not_asked(component, output)
        failed = failed or _failed(component, calls[1])
    if found is not None:
        return found
    lanes = [lanes_of(records, is_history_held=not history) for records in (recorded, replayed)]
    differs = _conversation(*lanes)
    return differs and (unknown or failed or differs)


def _client(recorded: Sequence[Record], replayed: Sequence[Record]) -> Divergence | None:
    """Whether the replay got as far as everything that the client said."""
    pairs = zip_longest(requests_of(recorded), requests_of(replayed))
    for index, (expected, got) in enumerate(pairs, start=1):
        if expected is None or got is None or expected[1] != got[1]:
            kinds = [str(one[1].WhichOneof("event")) if one else "nothing" for one in (expected, got)]
            return Divergence("client", got[0] if got else 0, f"request {index}", *kinds)
    return None


def _is_of(history: Sequence[bytes], output: Output) -> bool:
    """Whether this is a medium of the history, which the recording's context held already."""
    return any(medium.startswith(output.medium) for medium in history) if output.medium else False


def _not_asked(component: str, output: Output) -> Divergence:
    what = f"{component} was asked for {output.label}"
    return Divergence("conversation", output.asked_number, what, "something that the recording holds", "something new")


def _failed(component: str, calls: Sequence[Call]) -> Divergence | None:
    """Whether a component failed; that matters where the events differ, for nobody made good for it."""
    for call in of_component(calls, component):
        if call.failure:
            return Divergence(component, call.failed_number, f"call {call.call}", "an answer", call.failure)
    return None


def _output(component: str, expected: Output, got: Output) -> Divergence | None:
    """Compare what came of the same input."""
    if got.failure != expected.failure:
        reasons = expected.failure or "an answer", got.failure or "an answer"
        return Divergence(component, got.asked_number, got.label, *reasons)
    if len(got.numbers) == len(expected.numbers):
        for ours, theirs in zip(got.numbers, expected.numbers, strict=True):
            if abs(ours - theirs) > PROBABILITY_SLACK:
                number = got.at(0)[1]
                return Divergence(component, number, "its judgement", f"{theirs:.3f}", f"{ours:.3f}")
    return _bytes(component, expected, got, must_end=expected.is_whole and got.is_whole)


def _bytes(component: str, expected: Output, got: Output, *, must_end: bool) -> Divergence | None:
    before, after = expected.content, got.content
    at = _first_difference(before, after)
    if at == min(len(before), len(after)) and (len(before) == len(after) or not must_end):
        return None
    reply, number = got.at(at)
    what = f"reply {reply} to {got.label}"
    if component == "llm":
        words = (text.decode(errors="ignore")[max(0, at - 10) :] for text in (before, after))
        return Divergence(component, number, what, *(short(text) for text in words))
    sizes = (f"{raw[at : at + 4].hex() or 'the end'} at byte {at}" for raw in (before, after))
    return Divergence(component, number, what, *sizes)


def _conversation(recorded: dict[str, Lane], replayed: dict[str, Lane]) -> Divergence | None:
    for response_id, lane in recorded.items():
        found = _lane(lane, replayed.get(response_id, Lane()))
        if found is not None:
            return found
    for response_id, lane in replayed.items():
        if response_id not in recorded:
            number = lane.events[0].number if lane.events else 0
            return Divergence("conversation", number, "a response", "none", response_id)
    return None


def _lane(expected: Lane, got: Lane) -> Divergence | None:
    is_cut = expected.outcome in CUT and got.outcome == expected.outcome
    return (
        _streamed("text", expected.text.encode(), got.text.encode(), got.text_ends, is_cut=is_cut)
        or _streamed("sound", expected.sound, got.sound, got.sound_ends, is_cut=is_cut)
        or _events(expected.events, got.events)
    )


def _streamed(
    what: str, expected: bytes, got: bytes, ends: Sequence[tuple[int, int]], *, is_cut: bool
) -> Divergence | None:
    at = _first_difference(expected, got)
    if at == min(len(expected), len(got)) and (is_cut or len(expected) == len(got)):
        return None
    number = next((number for end, number in ends if end > at), ends[-1][1] if ends else 0)
    sizes = f"{len(expected)} bytes", f"{len(got)} bytes, other from byte {at}"
    return Divergence("conversation", number, f"the answer's {what}", *sizes)


def _events(expected: Sequence[Event], got: Sequence[Event]) -> Divergence | None:
    for before, after in zip_longest(expected, got):
        if before is None or after is None or not _same(before, after):
            number = after.number if after else 0
            what = f"event {before.kind if before else 'beyond the last'}"
            return Divergence("conversation", number, what, _brief(before, after), _brief(after, before))
    return None


def _same(before: Event, after: Event) -> bool:
    if before.kind != after.kind or before.turn_id != after.turn_id:
        return False
    if isinstance(before.message, wire.QueryJudged) and isinstance(after.message, wire.QueryJudged):
        ours, theirs = _probabilities(before.message), _probabilities(after.message)
        is_near = all(abs(one - other) <= PROBABILITY_SLACK for one, other in zip(ours, theirs, strict=True))
        return is_near and before.message.state == after.message.state
    return before.message == after.message


def _probabilities(judged: wire.QueryJudged) -> tuple[float, float, float]:
    return judged.speech_probability, judged.text_probability, judged.noise_probability


def _brief(event: Event | None, other: Event | None) -> str:
    """Say what an event is where it differs from another, in few words."""
    if event is None:
        return "nothing"
    if other is None or other.kind != event.kind:
        return event.kind
    if event.turn_id != other.turn_id:
        return f"turn {event.turn_id}"
    lines, others = _lines(event.message), _lines(other.message)
    differing = next((line for line in lines if line not in others), "less")
    return differing if len(differing) <= LABEL_CHARS else f"{differing[: LABEL_CHARS - 1]}…"


def _lines(message: Message) -> list[str]:
    return [line.strip() for line in text_format.MessageToString(message, as_utf8=True).splitlines()]


def _first_difference(one: bytes, other: bytes) -> int:
    """Return the first index at which they differ; where one is the other's beginning, its length."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    low, high = 0, length  # one[:low] is the same, one[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
