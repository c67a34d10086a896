"""The tape that a conversation runs on: what passes is noted, and what chance and the clock say is observed.

Whoever sends or receives a message notes it here; without a tape, as nearly always, that costs one look at a context
variable. A tape takes the message as it is then; what becomes of it later is no matter.

A replay differs from what it replays only by chance and by the clock. So both are asked through `observe`: a recording
tape keeps the answers, and a replaying tape gives them again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar

from google.protobuf.message import Message
from vita.recording.v1.recording_pb2 import Edge, Kind

T = TypeVar("T", int, str)

Content = Message | str | bytes | None


class Tape(Protocol):
    """Where one session's messages are noted."""

    def note(
        self, edge: Edge, kind: Kind, content: Content = None, *, component: str = "", call: int = 0, name: str = ""
    ) -> None:
        """Note something that happens now. Must not block, and must not fail."""
        ...

    def new_call(self) -> int:
        """Return a number for a call to a component."""
        ...

    def observe(self, name: str, value: T) -> T:
        """Note what chance or the clock says, `value`; return what is to be believed instead."""
        ...


_current: ContextVar[Tape | None] = ContextVar("tape", default=None)


def current() -> Tape | None:
    """Return the tape of the conversation that this task belongs to."""
    return _current.get()


def use(tape: Tape | None) -> None:
    """Note what this task does from now on, and the tasks it starts, on this tape."""
    _current.set(tape)


def observe(name: str, ask: Callable[[], T]) -> T:
    """Ask chance or the clock for something."""
    tape = _current.get()
    return ask() if tape is None else tape.observe(name, ask())
