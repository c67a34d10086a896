"""As much of KServe v2's protobuf as a probe needs: encode one inference request, read one response.

The launcher is in every image and must stay light, so it does not import Triton's client. The field numbers are those
of the public `grpc_service.proto` (messages ModelInferRequest and ModelStreamInferResponse); a test compares the
encoding with the client's own classes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

STREAM_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"

VARINT, LENGTH_DELIMITED = 0, 2  # protobuf wire types


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input, contents as raw little-endian bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    contents: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One response of a stream."""

    error: str = ""
    outputs: dict[str, bytes] = field(default_factory=dict)


def text_tensor(name: str, text: str) -> Tensor:
    """Return a BYTES[1] tensor: each element carries its length."""
    data = text.encode()
    return Tensor(name, "BYTES", (1,), struct.pack("<I", len(data)) + data)


def request(model: str, parameters: Mapping[str, str | int], inputs: tuple[Tensor, ...] = ()) -> bytes:
    """Encode a ModelInferRequest."""
    parts = [_field(1, model.encode())]
    for name, value in parameters.items():
        choice = _field(3, value.encode()) if isinstance(value, str) else _tag(2, VARINT) + _varint(value)
        parts.append(_field(4, _field(1, name.encode()) + _field(2, choice)))
    for tensor in inputs:
        shape = _field(3, b"".join(_varint(size) for size in tensor.shape))
        parts.append(_field(5, _field(1, tensor.name.encode()) + _field(2, tensor.datatype.encode()) + shape))
    parts += [_field(7, tensor.contents) for tensor in inputs]
    return b"".join(parts)


def response(message: bytes) -> Response:
    """Decode a ModelStreamInferResponse: its error, or its outputs' raw contents by name."""
    error, names, contents = "", list[str](), list[bytes]()
    for number, value in _fields(message):
        if number == 1:
            error = value.decode(errors="replace")
        elif number == 2:
            for inner, inner_value in _fields(value):
                if inner == 5:
                    names += [name.decode() for n, name in _fields(inner_value) if n == 1]
                elif inner == 6:
                    contents.append(inner_value)
    return Response(error, dict(zip(names, contents, strict=False)))


def _field(number: int, value: bytes) -> bytes:
    return _tag(number, LENGTH_DELIMITED) + _varint(len(value)) + value


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message; numbers are read over."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        if tag & 7 == LENGTH_DELIMITED:
            length, at = _read_varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        elif tag & 7 == VARINT:
            _, at = _read_varint(message, at)
        else:
            at += {1: 8, 5: 4}[tag & 7]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
