"""What passes between a conversation and a component, noted on the conversation's tape if it has one.

Pings are asked by no conversation, so they are on no tape.
"""

from __future__ import annotations

from typing import Any

from vita.recording.v1.recording_pb2 import (
    EDGE_COMPONENT,
    KIND_CLOSED,
    KIND_FAILED,
    KIND_OPENED,
    KIND_REPLY,
    KIND_REQUEST,
    Kind,
)
from vita_recordings import tape
from vita_recordings.tape import Content
from vita_runtime.errors import VitaError


class Tap:
    """One call: a stream, or a request with one reply. Without a tape it does nothing."""

    def __init__(self, component: str, address: str) -> None:
        self._tape = tape.current()
        self._component = component
        self._call = self._tape.new_call() if self._tape is not None else 0
        self._note(KIND_OPENED, name=address)

    def request(self, request: Any) -> None:  # noqa: ANN401  # tritonclient's messages come without types
        """Note a message that leaves."""
        if self._tape is not None:
            op = request.parameters["op"].string_param if "op" in request.parameters else ""
            self._note(KIND_REQUEST, request, name=op)

    def reply(self, reply: Any) -> None:  # noqa: ANN401  # likewise
        """Note a message that came."""
        self._note(KIND_REPLY, reply)

    def failed(self, error: VitaError, message: str = "") -> None:
        """Note that the call failed, in our words and, if there are any, in the component's."""
        self._note(KIND_FAILED, message or error.message, name=error.reason)

    def close(self) -> None:
        """Note that the call is over; what comes later is not noted."""
        self._note(KIND_CLOSED)
        self._tape = None

    def _note(self, kind: Kind, content: Content = None, name: str = "") -> None:
        if self._tape is not None:
            self._tape.note(EDGE_COMPONENT, kind, content, component=self._component, call=self._call, name=name)
