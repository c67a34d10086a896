"""Every error that crosses a boundary of ours.

    VitaError
    ├── BadInput              INVALID_ARGUMENT      names the field, the value and the limit
    │   └── BadMedia          INVALID_ARGUMENT      sound or picture that cannot be decoded
    ├── OutOfOrder            FAILED_PRECONDITION   not possible in this state
    ├── NotFound              NOT_FOUND
    ├── AlreadyExists         ALREADY_EXISTS
    ├── ResponseActive        FAILED_PRECONDITION   an answer is in progress
    ├── NoResponseActive      FAILED_PRECONDITION   there is nothing to stop
    ├── AtCapacity            RESOURCE_EXHAUSTED    try again after `retry_after_ms`
    ├── ContextFull           OUT_OF_RANGE          the conversation no longer fits the model
    ├── ComponentUnavailable  UNAVAILABLE           a component is not reachable, or was lost on the way
    ├── ComponentDeadline     DEADLINE_EXCEEDED     a component did not answer in time
    ├── StoreUnavailable      UNAVAILABLE           the session store is not reachable
    ├── Draining              UNAVAILABLE           reconnect elsewhere
    ├── SessionTaken          ABORTED               another stream took the session over
    ├── BadToolCall           INTERNAL              the model called a tool in a way that cannot be followed
    └── Unauthenticated       UNAUTHENTICATED
    StartupError                                    a process cannot start: one line, exit 1

`reason` is the name of a vita.conversation.v1.ErrorReason; a test holds the two together. Messages are for users: they
name fields and limits and never repeat a user's words or media. Edges translate these once; nobody else does.
"""

from __future__ import annotations

from grpc import StatusCode


class VitaError(Exception):
    """An expected failure, with what a caller needs to act on it."""

    code: StatusCode = StatusCode.INTERNAL
    reason: str = "ERROR_REASON_INTERNAL"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class BadInput(VitaError):
    """A field's value is outside its limits."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "ERROR_REASON_BAD_INPUT"

    def __init__(self, field: str, problem: str, *, value: object = "", limit: object = "") -> None:
        super().__init__(f"{field}: {problem}", field=field, value=str(value)[:100], limit=str(limit))


class BadMedia(BadInput):
    """Sound or picture that cannot be decoded."""

    reason = "ERROR_REASON_BAD_MEDIA"


class OutOfOrder(VitaError):
    """The request does not fit the state of the conversation."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ERROR_REASON_OUT_OF_ORDER"


class NotFound(VitaError):
    """No such item, response or session."""

    code = StatusCode.NOT_FOUND
    reason = "ERROR_REASON_NOT_FOUND"


class AlreadyExists(VitaError):
    """An item with this id exists."""

    code = StatusCode.ALREADY_EXISTS
    reason = "ERROR_REASON_ALREADY_EXISTS"


class ResponseActive(VitaError):
    """An answer is in progress already."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ERROR_REASON_RESPONSE_ACTIVE"


class NoResponseActive(VitaError):
    """There is no answer to stop."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ERROR_REASON_NO_RESPONSE_ACTIVE"


class AtCapacity(VitaError):
    """As many as can be held are held."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "ERROR_REASON_AT_CAPACITY"


class ContextFull(VitaError):
    """The conversation no longer fits the model's context."""

    code = StatusCode.OUT_OF_RANGE
    reason = "ERROR_REASON_CONTEXT_FULL"


class ComponentUnavailable(VitaError):
    """A component is not reachable, or was lost on the way."""

    code = StatusCode.UNAVAILABLE
    reason = "ERROR_REASON_COMPONENT_UNAVAILABLE"
    silent_s: float = 0.0  # how long nothing had been heard of it when its loss was noticed; 0: nobody has said


class ComponentDeadline(VitaError):
    """A component did not answer in time."""

    code = StatusCode.DEADLINE_EXCEEDED
    reason = "ERROR_REASON_DEADLINE"


class StoreUnavailable(VitaError):
    """The session store is not reachable."""

    code = StatusCode.UNAVAILABLE
    reason = "ERROR_REASON_STORE_UNAVAILABLE"


class Draining(VitaError):
    """The service is draining."""

    code = StatusCode.UNAVAILABLE
    reason = "ERROR_REASON_DRAINING"


class SessionTaken(VitaError):
    """Another stream took the session over."""

    code = StatusCode.ABORTED
    reason = "ERROR_REASON_SESSION_TAKEN"


class BadToolCall(VitaError):
    """The model called a tool in words that cannot be read, or a tool that there is not."""

    reason = "ERROR_REASON_BAD_TOOL_CALL"


class Unauthenticated(VitaError):
    """The caller may not do this."""

    code = StatusCode.UNAUTHENTICATED
    reason = "ERROR_REASON_UNAUTHENTICATED"


class StartupError(Exception):
    """A process cannot start; the message is the one line an operator sees: what is wrong and what to do."""
