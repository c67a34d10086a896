"""What an engine refuses. The session that asked goes on; `reason` is the wire's name for it.

EngineError
├── ContextFull   the rows do not fit the session's context; nothing was added
├── AtCapacity    every slot is held by a session in use
├── NoSession     no such session here: it was never opened, has ended, or lost its slot while idle
└── BadRequest    a value outside its limits
"""

from __future__ import annotations

from vita15.errors import ModelError


class EngineError(ModelError):
    """A request that was refused; nothing changed."""

    def __str__(self) -> str:
        """Reason first, as it goes over the wire."""
        return f"{self.reason}: {super().__str__()}"


class ContextFull(EngineError):
    """The rows do not fit the session's context."""

    reason = "ERROR_REASON_CONTEXT_FULL"


class AtCapacity(EngineError):
    """Every slot is held by a session in use."""

    reason = "ERROR_REASON_AT_CAPACITY"


class NoSession(EngineError):
    """No such session here; its context must be rebuilt."""

    reason = "ERROR_REASON_COMPONENT_UNAVAILABLE"


class BadRequest(EngineError):
    """A value outside its limits."""

    reason = "ERROR_REASON_BAD_INPUT"
