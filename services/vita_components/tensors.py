"""Tensors as they stand on the wire: raw bytes with a name, a type and a shape; no numpy, no copies."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vita_runtime.errors import VitaError

_SIZES = {"INT16": ("h", 2), "INT32": ("i", 4), "INT64": ("q", 8), "FP32": ("f", 4)}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as it stands on the wire."""

    name: str
    datatype: str  # KServe's name: UINT8, INT16, INT32, INT64, FP16, FP32, BYTES
    shape: tuple[int, ...]
    raw: bytes  # row-major, little-endian; BYTES: each element after its length in 4 bytes


def integer_tensor(name: str, values: Sequence[int]) -> Tensor:
    """An INT32 vector."""
    return Tensor(name, "INT32", (len(values),), struct.pack(f"<{len(values)}i", *values))


def text_tensor(name: str, value: str) -> Tensor:
    """A BYTES vector of one element."""
    encoded = value.encode()
    return Tensor(name, "BYTES", (1,), struct.pack("<I", len(encoded)) + encoded)


@dataclass(frozen=True, slots=True)
class Reply:
    """The tensors of one response."""

    tensors: Mapping[str, Tensor]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def tensor(self, name: str) -> Tensor:
        """Return a tensor. Raises VitaError: the model did not send it, which is a defect."""
        found = self.tensors.get(name)
        if found is None:
            raise VitaError(f"a component's reply lacks {name}")
        return found

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return the elements of an integer or FP32 tensor."""
        tensor = self.tensor(name)
        code, size = _SIZES[tensor.datatype]
        return struct.unpack(f"<{len(tensor.raw) // size}{code}", tensor.raw)

    def integer(self, name: str, default: int = 0) -> int:
        """Return the first element of an integer tensor."""
        return int(self.numbers(name)[0]) if name in self.tensors else default

    def text(self, name: str) -> str:
        """Return the first element of a BYTES tensor."""
        raw = self.tensor(name).raw
        (size,) = struct.unpack_from("<I", raw)
        return raw[4 : 4 + size].decode()
