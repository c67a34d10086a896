"""A recording without what was said, shown or answered: what is kept is named here, everything else goes.

Kept are times, sizes on the wire, kinds, operations, identifiers, positions, counts, shapes, settings that are numbers
and outcomes. An identifier that a client made up may say anything, so one that does not look like ours is replaced by
a digest under a salt that is thrown away: it still tells its equals.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from typing import Any, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from vita.recording.v1.recording_pb2 import EDGE_INSIDE, FORM_REDACTED, Manifest, Record
from vita.recording.v1.snapshot_pb2 import Snapshot

from vita_recordings.bundle import Bundle
from vita_recordings.schema import parse

OWN_ID = re.compile(r"[a-z]{1,8}_[0-9a-f]{24}(\.[0-9a-f]{8})?|")  # as the orchestrator makes them
WORD = re.compile(r"[a-z0-9_,.]{0,64}")
REASON = re.compile(r"[A-Za-z_]{0,64}")
TENSOR = re.compile(r"[A-Z_]{0,32}")
STRINGS = frozenset({"component", "variant", "model_name", "model_version", "datatype"})
# Parameters and small tensors of the components (docs/components.md) that are no content.
PARAMETERS = frozenset({"op", "role", "state", "states", "tool_choice"})
TENSORS = frozenset(
    (
        "KIND",
        "SEQUENCE",
        "POSITION",
        "COUNT",
        "SCORES",
        "TILE",
        "END",
        "FINISHED",
        "HEARD_MS",
        "OP_REPLY",
        "KEEP_FROM",
        "KEEP_COUNT",
        "MAX_TILES",
    )
)
SAYING = frozenset({b"judgement", b"end"})  # kinds of which TEXT is an outcome
OUTCOMES = frozenset({b"speech", b"text", b"noise", b"stop", b"length", b"cancelled", b"bad_call"})
_LENGTH_BYTES = 4  # before each element of a BYTES tensor


def redacted(bundle: Bundle, *, salt: bytes | None = None) -> Bundle:
    """Return the recording without content; what it is given stays as it is."""
    redaction = _Redaction(salt or secrets.token_bytes(16))
    manifest, snapshot = Manifest(), Snapshot()
    manifest.CopyFrom(bundle.manifest)
    manifest.form = FORM_REDACTED
    snapshot.CopyFrom(bundle.snapshot)
    redaction.strip(snapshot)
    return Bundle(manifest, snapshot, tuple(redaction.record(record) for record in bundle.records))


class _Redaction:
    """One recording's."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def record(self, record: Record) -> Record:
        """Return a record without content."""
        copy = Record()
        copy.CopyFrom(record)
        copy.byte_count = record.byte_count or len(record.content)
        copy.name = record.name if WORD.fullmatch(record.name.lower()) or _is_observation(record) else ""
        copy.content = self._content(record)
        copy.DiscardUnknownFields()  # type: ignore[no-untyped-call]
        return copy

    def strip(self, message: Message) -> None:
        """Clear every word and every byte in a message that is not known to be harmless."""
        message.DiscardUnknownFields()  # type: ignore[no-untyped-call]
        if isinstance(message, AnyMessage):
            _strip_detail(message)
            return
        for field, value in message.ListFields():
            if field.message_type is not None and not _is_map(field):
                for part in value if field.is_repeated else (value,):
                    self.strip(part)
            elif _is_map(field):
                message.ClearField(cast("Any", field.name))
            elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
                self._strip_field(message, field)

    def _content(self, record: Record) -> bytes:
        if record.edge == EDGE_INSIDE:
            return self._observed(record)
        if record.type == "application/json":
            return _event_type(record.content)
        message = parse(record.type, record.content)
        if message is None:
            return b""
        known = {"inference.ModelInferRequest": self._request, "inference.ModelInferResponse": self._reply}
        known.get(record.type, self.strip)(message)
        return message.SerializeToString(deterministic=True)

    def _observed(self, record: Record) -> bytes:
        text = record.content.decode(errors="replace")
        return (text if re.fullmatch(r"-?[0-9.]{1,24}", text) else self._id(text)).encode()

    def _strip_field(self, message: Message, field: FieldDescriptor) -> None:
        name = cast("Any", field.name)
        keep: Callable[[str], str] | None = None
        if field.type == FieldDescriptor.TYPE_STRING and (name == "id" or name.endswith(("_id", "_ids"))):
            keep = self._id
        elif name in STRINGS:
            keep = _unchanged
        if keep is None:
            message.ClearField(name)
        elif field.is_repeated:
            values = [keep(value) for value in getattr(message, name)]
            message.ClearField(name)
            getattr(message, name).extend(values)
        else:
            setattr(message, name, keep(getattr(message, name)))

    def _id(self, text: str) -> str:
        if OWN_ID.fullmatch(text):
            return text
        return "h_" + hashlib.blake2b(text.encode(), key=self._salt, digest_size=12).hexdigest()

    def _request(self, request: Any) -> None:  # noqa: ANN401  # tritonclient's messages come without types
        parameters = {name: _scalar(value) for name, value in request.parameters.items()}
        names = [tensor.name for tensor in request.inputs]
        raw = dict(zip(names, request.raw_input_contents, strict=False))
        self.strip(request)
        for name, value in parameters.items():
            if isinstance(value, str):
                if name in PARAMETERS and WORD.fullmatch(value):
                    request.parameters[name].string_param = value
                elif name.endswith("_id"):
                    request.parameters[name].string_param = self._id(value)
            elif WORD.fullmatch(name):
                setattr(request.parameters[name], "int64_param" if isinstance(value, int) else "double_param", value)
        _refill(request.inputs, names, request.raw_input_contents, raw, TENSORS)

    def _reply(self, reply: Any) -> None:  # noqa: ANN401  # likewise
        names = [tensor.name for tensor in reply.outputs]
        raw = dict(zip(names, reply.raw_output_contents, strict=False))
        is_outcome = _text_of(raw.get("KIND", b"")) in SAYING and _text_of(raw.get("TEXT", b"")) in OUTCOMES
        self.strip(reply)
        _refill(reply.outputs, names, reply.raw_output_contents, raw, TENSORS | {"TEXT"} if is_outcome else TENSORS)


def _strip_detail(detail: AnyMessage) -> None:
    """Keep an error's reason, and of other details their type."""
    info = ErrorInfo()
    if detail.TypeName() == ErrorInfo.DESCRIPTOR.full_name and detail.Unpack(info):
        detail.Pack(ErrorInfo(reason=info.reason if REASON.fullmatch(info.reason) else "", domain=info.domain))
    else:
        detail.ClearField("value")


def _refill(tensors: Any, names: list[str], raw: Any, was: dict[str, bytes], kept: frozenset[str]) -> None:  # noqa: ANN401
    """Give tensors their names again and those of `kept` what they held; nothing stands in the places of the rest."""
    for tensor, name in zip(tensors, names, strict=True):
        tensor.name = name if TENSOR.fullmatch(name) else ""
    del raw[:]
    raw.extend(was[name] if name in kept and name in was else b"" for name in names)


def _text_of(raw: bytes) -> bytes:
    """Return the one element of a BYTES tensor."""
    return raw[_LENGTH_BYTES:]


def _scalar(parameter: Any) -> str | int | float:  # noqa: ANN401  # likewise
    """Return the parameter's value, whichever of its types it has."""
    choice = parameter.WhichOneof("parameter_choice")
    return "" if choice is None else getattr(parameter, choice)


def _event_type(content: bytes) -> bytes:
    """Return a JSON event's type, and nothing else of it."""
    try:
        event = json.loads(content)
    except (ValueError, RecursionError):
        return b""
    kind = cast("dict[str, object]", event).get("type") if isinstance(event, dict) else None
    is_known = isinstance(kind, str) and WORD.fullmatch(kind)
    return json.dumps({"type": kind}).encode() if is_known else b""


def _is_observation(record: Record) -> bool:
    return record.edge == EDGE_INSIDE and re.fullmatch(r"[a-z_]+(/[a-z_]+)?", record.name) is not None


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _unchanged(text: str) -> str:
    return text
