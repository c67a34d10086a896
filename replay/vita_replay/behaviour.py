"""What a component server asks of whoever answers: a `Behaviour`, its calls, and requests to be read."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from vita_components.tensors import Tensor

Message = Any  # KServe's generated messages come without types
Send = Callable[[Message], Awaitable[None]]  # takes a ModelStreamInferResponse
REASON = "ERROR_REASON_"


class Refused(Exception):
    """The request cannot be served; the message goes to the client, as from Triton."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(f"{REASON}{reason}: {problem}")

    @classmethod
    def saying(cls, text: str) -> Refused:
        """Refuse as somebody else did: "ERROR_REASON_…: …", or else it is a defect of theirs."""
        reason, _, problem = text.partition(": ")
        return cls(reason.removeprefix(REASON), problem) if reason.startswith(REASON) else cls("INTERNAL", text)


class Asked:
    """A request, to be read; what it lacks is refused."""

    __slots__ = ("message", "op")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.op = self.text_parameter("op")

    def text_parameter(self, name: str, default: str = "") -> str:
        """Return a parameter as text."""
        if name not in self.message.parameters:
            return default
        value = self.message.parameters[name]
        return str(getattr(value, value.WhichOneof("parameter_choice") or "string_param"))

    def integer(self, name: str, default: int = 0) -> int:
        """Return a parameter as a whole number; it may come as text."""
        return int(self._number(name, default))

    def number(self, name: str, default: float) -> float:
        """Return a parameter as a number."""
        return self._number(name, default)

    def tensor(self, name: str) -> Tensor:
        """Return a tensor."""
        inputs, contents = self.message.inputs, self.message.raw_input_contents
        for index, declared in enumerate(inputs):
            if declared.name == name and index < len(contents):
                return Tensor(name, declared.datatype, tuple(declared.shape), contents[index])
        raise Refused("BAD_INPUT", f"{name}: is missing")

    def integers(self, name: str) -> tuple[int, ...]:
        """Return the elements of an INT32 tensor."""
        raw = self.tensor(name).raw
        if len(raw) % 4:
            raise Refused("BAD_INPUT", f"{name}: is no INT32 tensor")
        return struct.unpack(f"<{len(raw) // 4}i", raw)

    def scalar(self, name: str) -> int:
        """Return the only element of an INT32 tensor."""
        elements = self.integers(name)
        if len(elements) != 1:
            raise Refused("BAD_INPUT", f"{name}: has {len(elements)} elements instead of one")
        return elements[0]

    def row_count(self, name: str) -> int:
        """Return how many rows an FP16 matrix has."""
        tensor = self.tensor(name)
        if len(tensor.shape) != 2 or tensor.shape[0] * tensor.shape[1] * 2 != len(tensor.raw):
            raise Refused("BAD_INPUT", f"{name}: {len(tensor.raw)} bytes are no FP16 matrix of {tensor.shape}")
        return tensor.shape[0]

    def has(self, name: str) -> bool:
        """Whether a tensor came."""
        return any(declared.name == name for declared in self.message.inputs)

    def text(self, name: str) -> str:
        """Return the first element of a BYTES tensor."""
        try:
            return self.tensor(name).raw[4:].decode()
        except UnicodeDecodeError:
            raise Refused("BAD_INPUT", f"{name}: is not UTF-8") from None

    def _number(self, name: str, default: float) -> float:
        try:
            return float(self.text_parameter(name) or default)
        except ValueError:
            raise Refused("BAD_INPUT", f"{name}: is no number") from None


class Call(ABC):
    """One stream, or one request with one reply. Cancelled at any time: `close` is called in any case."""

    @abstractmethod
    async def take(self, asked: Asked) -> None:
        """Take a request; return when the next may be taken. Replies go out through `send`. Raises Refused."""

    async def finish(self) -> None:  # noqa: B027  # nothing, where every request is answered at once
        """No request follows: return when all have been answered."""

    def close(self) -> None:  # noqa: B027  # nothing, where nothing is kept
        """Drop everything, tasks too."""


class Behaviour(Protocol):
    """What one component answers."""

    work: int  # what it has done: tiles, embeddings, tokens, codes

    def call(self, send: Send) -> Call:
        """Begin a stream, or a request with one reply."""
        ...
