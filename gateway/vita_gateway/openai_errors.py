"""Errors as OpenAI's clients expect them; the only place where our reasons become their codes.

HTTP: `{"error": {"message", "type", "param", "code"}}` with a status; Realtime: the same inside an `error` event. The
codes are those that clients match on (docs/api.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2
from vita_runtime.errors import VitaError

INVALID = "invalid_request_error"
SERVER = "server_error"
SETTINGS = "configuration."  # before the name of a setting, where the orchestrator refused it

# reason → HTTP status, type, code. OpenAI's client retries 409 and 5xx by itself, so what a retry cannot cure is a 400.
REASONS: Mapping[str, tuple[int, str, str]] = {
    "ERROR_REASON_BAD_INPUT": (400, INVALID, "invalid_value"),
    "ERROR_REASON_BAD_MEDIA": (400, INVALID, "invalid_media"),
    "ERROR_REASON_OUT_OF_ORDER": (400, INVALID, "invalid_state"),
    "ERROR_REASON_NOT_FOUND": (404, INVALID, "not_found"),
    "ERROR_REASON_ALREADY_EXISTS": (400, INVALID, "already_exists"),
    "ERROR_REASON_RESPONSE_ACTIVE": (400, INVALID, "conversation_already_has_active_response"),
    "ERROR_REASON_NO_RESPONSE_ACTIVE": (400, INVALID, "response_cancel_not_active"),
    "ERROR_REASON_AT_CAPACITY": (429, "rate_limit_error", "rate_limit_exceeded"),
    "ERROR_REASON_CONTEXT_FULL": (400, INVALID, "context_length_exceeded"),
    "ERROR_REASON_COMPONENT_UNAVAILABLE": (503, SERVER, "component_unavailable"),
    "ERROR_REASON_DEADLINE": (504, SERVER, "deadline_exceeded"),
    "ERROR_REASON_STORE_UNAVAILABLE": (503, SERVER, "store_unavailable"),
    "ERROR_REASON_DRAINING": (503, SERVER, "draining"),
    "ERROR_REASON_SESSION_TAKEN": (400, INVALID, "session_taken"),
    "ERROR_REASON_UNAUTHENTICATED": (401, "authentication_error", "invalid_api_key"),
    "ERROR_REASON_BAD_TOOL_CALL": (400, SERVER, "bad_tool_call"),
    "ERROR_REASON_INTERNAL": (500, SERVER, "internal_error"),
}

# What a status says when no ErrorInfo came with it: grpcio's own failures.
CODES: Mapping[int, str] = {
    grpc.StatusCode.INVALID_ARGUMENT.value[0]: "ERROR_REASON_BAD_INPUT",
    grpc.StatusCode.NOT_FOUND.value[0]: "ERROR_REASON_NOT_FOUND",
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]: "ERROR_REASON_AT_CAPACITY",
    grpc.StatusCode.UNAVAILABLE.value[0]: "ERROR_REASON_COMPONENT_UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0]: "ERROR_REASON_DEADLINE",
    grpc.StatusCode.UNAUTHENTICATED.value[0]: "ERROR_REASON_UNAUTHENTICATED",
}


@dataclass(eq=False)  # not frozen: Python sets an exception's traceback on its way up
class ApiError(Exception):
    """A refusal or failure, worded for an API client."""

    message: str
    type: str = INVALID
    code: str = "invalid_value"
    param: str | None = None
    status: int = 400
    retry_after_s: float | None = None

    def body(self) -> dict[str, object]:
        """Return the JSON body of an HTTP answer; all four keys are always there, as in OpenAI's."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client whether and when to try again."""
        if self.retry_after_s is not None:
            return {"retry-after-ms": str(round(self.retry_after_s * 1000))}
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}


class RemoteFailure(VitaError):
    """A failure that the orchestrator reported; `reason` is its own."""

    def __init__(self, message: str, reason: str, metadata: Mapping[str, str], *, has_reason: bool) -> None:
        super().__init__(message, **metadata)
        self.reason = reason
        self.has_reason = has_reason  # False: grpcio's own failure, such as a lost connection


def remote_failure(status: status_pb2.Status) -> RemoteFailure:
    """Read a google.rpc.Status that the orchestrator sent."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == "vita":
            return RemoteFailure(status.message, info.reason, dict(info.metadata), has_reason=True)
    reason = CODES.get(status.code, "ERROR_REASON_INTERNAL")
    return RemoteFailure(status.message, reason, {}, has_reason=False)


def stream_failure(error: grpc.aio.AioRpcError) -> RemoteFailure:
    """Read the status that ended a stream; the message of a status without our details is grpcio's, and not shown."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return remote_failure(status_pb2.Status.FromString(value))
    message = "the conversation service is not reachable"
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        message = f"the conversation service failed: {error.code().name}"
    return remote_failure(status_pb2.Status(code=error.code().value[0], message=message))


def api_error(error: VitaError, *, param: str | None = None) -> ApiError:
    """Translate one of our errors; `param` is the client's name for the field, where it is not ours."""
    status, kind, code = REASONS.get(error.reason, REASONS["ERROR_REASON_INTERNAL"])
    retry_after_ms = error.metadata.get("retry_after_ms", "")
    return ApiError(
        message=_worded(error),
        type=kind,
        code=code,
        param=param or error.metadata.get("field", "").removeprefix(SETTINGS) or None,
        status=status,
        retry_after_s=float(retry_after_ms) / 1000 if retry_after_ms.isdecimal() else None,
    )


def _worded(error: VitaError) -> str:
    """Return the message with the value and the limit, unless it holds them already."""
    message = error.message.removeprefix(SETTINGS)
    facts = [
        f"{name} {error.metadata[name]}"
        for name in ("value", "limit")
        if error.metadata.get(name) and error.metadata[name] not in message
    ]
    return f"{message} ({', '.join(facts)})" if facts else message
