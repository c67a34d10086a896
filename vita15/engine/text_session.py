"""A session of the text engine, and how many of them there may be."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from vita15.engine.generation import Generation
from vita15.engine.text_context import TextContext
from vita15.engine.text_protocol import Operation, Reply


@dataclass(frozen=True, slots=True)
class TextLimits:
    """How much is held."""

    max_sessions: int = 32
    max_context: int = 4096  # tokens a session
    evict_after_s: float = 30.0  # idle for this long, a slot may be given to another session


@dataclass(slots=True, eq=False)
class TextSession:
    """A session: its context, its running answer, and the operations that wait for it to end."""

    key: str
    context: TextContext
    used_at: float
    generation: Generation | None = None
    waiting: deque[tuple[Operation, Reply]] = field(default_factory=deque[tuple[Operation, Reply]])
