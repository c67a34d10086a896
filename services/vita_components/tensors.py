"""Tensors as they stand on the wire: raw bytes with a name, a type and a shape; no numpy, no copies."""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vita_components.failures import garbled

_SIZES = {"INT16": ("h", 2), "INT32": ("i", 4), "INT64": ("q", 8), "FP32": ("f", 4)}
INTEGERS = ("INT16", "INT32", "INT64")


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
    """The tensors of one response; what cannot be read raises ComponentUnavailable, since nothing it says can be."""

    tensors: Mapping[str, Tensor]
    component: str = "component"

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def tensor(self, name: str, datatype: str = "") -> Tensor:
        """Return a tensor, of a type if one is given."""
        found = self.tensors.get(name)
        if found is None:
            raise garbled(self.component, f"{name} is missing")
        if datatype and found.datatype != datatype:
            raise garbled(self.component, f"{name} is of type {found.datatype[:20]!r} and not {datatype}")
        return found

    def numbers(self, name: str, datatypes: Collection[str] = tuple(_SIZES)) -> tuple[float, ...]:
        """Return the elements of an integer or FP32 tensor."""
        tensor = self.tensor(name)
        if tensor.datatype not in datatypes:
            raise garbled(self.component, f"{name} is of type {tensor.datatype[:20]!r}")
        code, size = _SIZES[tensor.datatype]
        if len(tensor.raw) != size * math.prod(tensor.shape):
            raise garbled(self.component, f"{name} has {len(tensor.raw)} bytes for a shape of {tensor.shape}")
        return struct.unpack(f"<{len(tensor.raw) // size}{code}", tensor.raw)

    def integers(self, name: str, count: int | None = None) -> tuple[int, ...]:
        """Return the elements of an integer tensor, which must have `count` of them if that is given."""
        numbers = self.numbers(name, INTEGERS)
        if count is not None and len(numbers) != count:
            raise garbled(self.component, f"{name} has {len(numbers)} elements and not {count}")
        return tuple(map(int, numbers))

    def integer(self, name: str) -> int:
        """Return the only element of an integer tensor."""
        return self.integers(name, 1)[0]

    def flag(self, name: str) -> bool:
        """Whether a tensor is there and not 0."""
        return name in self.tensors and self.integer(name) != 0

    def rows(self, name: str) -> Tensor:
        """Return a matrix of 16-bit floats."""
        tensor = self.tensor(name, "FP16")
        if len(tensor.shape) != 2 or min(tensor.shape) < 0 or len(tensor.raw) != 2 * math.prod(tensor.shape):
            raise garbled(self.component, f"{name} has {len(tensor.raw)} bytes for a shape of {tensor.shape}")
        return tensor

    def text(self, name: str) -> str:
        """Return the only element of a BYTES tensor."""
        raw = self.tensor(name, "BYTES").raw
        if len(raw) < 4 or len(raw) != 4 + struct.unpack_from("<I", raw)[0]:
            raise garbled(self.component, f"{name} is cut")
        try:
            return raw[4:].decode()
        except UnicodeDecodeError:
            raise garbled(self.component, f"{name} is not UTF-8") from None
