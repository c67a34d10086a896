"""A request to a model in Triton's Python backend: parameters and tensors, copied out of Triton's memory."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Foreign = Any  # an object of Triton's own module, which has no types
Value = Any  # a tensor, a number, a text, or a sequence of numbers: whatever numpy makes an array of


def triton() -> Foreign:
    """Return Triton's module; it exists inside Triton only, and is complete only after import of the model."""
    return importlib.import_module("triton_python_backend_utils")


class Refused(Exception):
    """A request that cannot be served as it is; the message starts with an ErrorReason."""


class Request:
    """One request's parameters and tensors, copied out of Triton's memory."""

    def __init__(self, request: Foreign) -> None:
        self._parameters: Mapping[str, Any] = json.loads(request.parameters() or "{}")
        self._tensors: dict[str, NDArray[Any]] = {t.name(): np.array(t.as_numpy()) for t in request.inputs()}

    @property
    def op(self) -> str:
        """What is asked for."""
        return self.text_parameter("op")

    def tensor(self, name: str) -> NDArray[Any]:
        """Return an input tensor."""
        if name not in self._tensors:
            raise Refused(f"ERROR_REASON_BAD_INPUT: {name}: input is missing")
        return self._tensors[name]

    def scalar(self, name: str, default: int | None = None) -> int:
        """Return the only value of an integer tensor."""
        if default is not None and name not in self._tensors:
            return default
        values = self.tensor(name)
        if values.size != 1:
            raise Refused(f"ERROR_REASON_BAD_INPUT: {name}: {values.size} values instead of 1")
        return int(values.reshape(-1)[0])

    def data(self, name: str) -> bytes:
        """Return the only value of a BYTES tensor, or the bytes of another."""
        values = self.tensor(name)
        if values.dtype != np.object_:
            return values.tobytes()
        if values.size != 1:
            raise Refused(f"ERROR_REASON_BAD_INPUT: {name}: {values.size} values instead of 1")
        return bytes(values.reshape(-1)[0])

    def text(self, name: str, default: str | None = None) -> str:
        """Return the only value of a BYTES tensor as text; without a default it must be there."""
        if default is not None and name not in self._tensors:
            return default
        try:
            return self.data(name).decode()
        except UnicodeDecodeError as error:
            raise Refused(f"ERROR_REASON_BAD_INPUT: {name}: not UTF-8") from error

    def text_parameter(self, name: str, default: str = "") -> str:
        """Return a request parameter."""
        return str(self._parameters.get(name, default))

    def number(self, name: str, default: float) -> float:
        """Return a request parameter as a number; it may come as text."""
        try:
            return float(self._parameters.get(name, default))
        except ValueError as error:
            raise Refused(f"ERROR_REASON_BAD_INPUT: {name}: not a number") from error

    def integer(self, name: str, default: int) -> int:
        """Return a request parameter as an integer of any size up to 64 bits; it may come as text."""
        try:
            return int(self._parameters.get(name, default))
        except ValueError as error:
            raise Refused(f"ERROR_REASON_BAD_INPUT: {name}: not an integer") from error
