"""What one recorded call answered, and when: replies by the time since the request that caused them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vita.recording.v1.recording_pb2 import Record

from vita_replay.behaviour import REASON, Message
from vita_replay.calls import Call

LEFT_S = (
    2.0  # a client that left early leaves again about then; one that stays this much longer hears why nothing comes
)
LOST = (f"{REASON}COMPONENT_UNAVAILABLE", f"{REASON}DEADLINE")  # reasons of a replica that went, unless it said so


@dataclass(frozen=True, slots=True)
class Script:
    """Replies to one request."""

    replies: tuple[tuple[float, Message], ...]  # s since the request, ModelInferResponse
    refusal: str = ""  # what the model said instead of more; empty: nothing
    is_whole: bool = False  # nothing more would have come

    @property
    def worth(self) -> tuple[bool, int]:
        """More is known of a call that is worth more."""
        return self.is_whole, len(self.replies)


def best(scripts: Iterable[Script]) -> Script:
    """Return the script of which most is known."""
    return max(scripts, key=lambda script: script.worth)


def refusal_of(call: Call, records: Sequence[Record]) -> str:
    """Return what the model itself refused with; empty: nothing, or the call was lost or left."""
    if not call.failure:
        return ""
    said = records[call.failed_number - 1].content.decode(errors="replace")
    if said.startswith(REASON):
        return said
    return "" if call.failure in LOST else f"{call.failure}: {said}"
