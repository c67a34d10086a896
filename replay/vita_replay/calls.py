"""A recording's component edge as calls: what went up and what came down on one stream, or with one request."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from vita.recording.v1.recording_pb2 import (
    EDGE_COMPONENT,
    KIND_CLOSED,
    KIND_FAILED,
    KIND_OPENED,
    KIND_REPLY,
    KIND_REQUEST,
    Record,
)
from vita_components.tensors import Tensor
from vita_components.triton import parse_reply
from vita_runtime.errors import BadInput

Message = Any  # KServe's generated messages come without types


@dataclass(frozen=True, slots=True)
class Passed:
    """A message that passed on a call."""

    number: int  # of its record, from 1
    time_ns: int
    message: Message

    def parameter(self, name: str) -> str | int | float:
        """Return a request's parameter; empty: it has none of that name."""
        if name not in self.message.parameters:
            return ""
        value = self.message.parameters[name]
        return getattr(value, value.WhichOneof("parameter_choice"))

    def input(self, name: str) -> Tensor | None:
        """Return a request's tensor."""
        for index, tensor in enumerate(self.message.inputs):
            if tensor.name == name:
                return Tensor(name, tensor.datatype, tuple(tensor.shape), self.message.raw_input_contents[index])
        return None

    def outputs(self) -> dict[str, Tensor]:
        """Return a reply's tensors by name."""
        return dict(parse_reply(self.message).tensors)


@dataclass(slots=True)
class Call:
    """One stream, or one request with its reply."""

    component: str
    call: int
    address: str = ""
    opened_ns: int | None = None  # None: before the recording began
    closed_ns: int | None = None
    passed: list[tuple[int, Passed]] = field(default_factory=list[tuple[int, Passed]])  # KIND, message; in order
    failure: str = ""  # the reason, if it failed
    failed_number: int = 0  # of that record

    @property
    def requests(self) -> list[Passed]:
        """What went up."""
        return [passed for kind, passed in self.passed if kind == KIND_REQUEST]

    @property
    def replies(self) -> list[Passed]:
        """What came down."""
        return [passed for kind, passed in self.passed if kind == KIND_REPLY]

    @property
    def times_ns(self) -> list[int]:
        """When anything happened on it."""
        ends = [time for time in (self.opened_ns, self.closed_ns) if time is not None]
        return sorted([*ends, *(passed.time_ns for _, passed in self.passed)])


def calls_of(records: Sequence[Record]) -> list[Call]:
    """Return the calls to components in the order in which they began."""
    calls: list[Call] = []
    current: dict[tuple[str, int], Call] = {}  # a number may have been given again at a quiet moment
    for number, record in enumerate(records, start=1):
        if record.edge != EDGE_COMPONENT:
            continue
        key = (record.component, record.call)
        if key not in current or record.kind == KIND_OPENED:
            current[key] = Call(record.component, record.call)
            calls.append(current[key])
        call = current[key]
        match record.kind:
            case _ if record.kind == KIND_OPENED:
                call.opened_ns, call.address = record.time_ns, record.address
            case _ if record.kind == KIND_CLOSED:
                call.closed_ns = record.time_ns
            case _ if record.kind == KIND_FAILED:
                call.failure, call.failed_number = record.name, number
            case _ if record.kind in (KIND_REQUEST, KIND_REPLY):
                call.passed.append((record.kind, Passed(number, record.time_ns, message_of(record))))
            case _:
                raise BadInput("recording", f"a record of {record.component} is of kind {record.kind}")
    return calls


def of_component(calls: Iterable[Call], component: str) -> Iterator[Call]:
    """Yield the calls to one component."""
    return (call for call in calls if call.component == component)


def message_of(record: Record) -> Message:
    """Return the message that a record holds. Raises BadInput: it is of no type that passes components, or damaged."""
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(record.type)
        return message_factory.GetMessageClass(found).FromString(record.content)
    except (KeyError, DecodeError) as error:
        raise BadInput("recording", f"a record of {record.component} cannot be read", value=record.type) from error


def text_of(tensor: Tensor | None) -> str:
    """Return the first element of a BYTES tensor."""
    if tensor is None or len(tensor.raw) < 4:
        return ""
    (size,) = struct.unpack_from("<I", tensor.raw)
    return tensor.raw[4 : 4 + size].decode(errors="replace")


def integers_of(tensor: Tensor | None) -> tuple[int, ...]:
    """Return an integer tensor's elements."""
    if tensor is None:
        return ()
    code, size = {"INT16": ("h", 2), "INT32": ("i", 4), "INT64": ("q", 8)}[tensor.datatype]
    return struct.unpack(f"<{len(tensor.raw) // size}{code}", tensor.raw)
