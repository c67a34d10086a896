"""What the errors of models, of Triton and of gRPC mean to us; translated here and nowhere else."""

from __future__ import annotations

import logging
import re

import grpc
from vita_runtime import errors
from vita_runtime.errors import BadInput, BadMedia, ComponentDeadline, ComponentUnavailable, VitaError

logger = logging.getLogger(__name__)

_REASON = re.compile(r"(ERROR_REASON_[A-Z_]+): ?(.*)", re.DOTALL)
# What Triton says of a model whose process is gone or going.
_LOST = re.compile(
    r"is not healthy|Stub process|not at ready state|is not ready|unloaded|shutting down|"  # Triton
    r"Socket closed|RST_STREAM|GOAWAY|Internal error from Core"  # gRPC; the last: a write as the connection went
)
_BY_REASON = {
    kind.reason: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, VitaError) and kind is not VitaError
}


def lost(component: str) -> ComponentUnavailable:
    """What was held there is gone."""
    return ComponentUnavailable(f"{component} was lost", component=component)


def late(component: str) -> ComponentDeadline:
    """No answer in time."""
    return ComponentDeadline(f"{component} did not answer in time", component=component)


def garbled(component: str, problem: str) -> ComponentUnavailable:
    """What it answered cannot be read: it is as good as lost, for what it holds cannot be relied on either."""
    logger.error("component answers garbage", extra={"component": component, "problem": problem})
    return ComponentUnavailable(f"{component} answered what cannot be read: {problem}", component=component)


def error_of_message(component: str, message: str) -> VitaError:
    """What a model's or Triton's error message means to us."""
    reason = _REASON.search(message)
    if reason is not None and (kind := _BY_REASON.get(reason[1])) is not None:
        if kind is BadMedia:
            return BadMedia("picture", reason[2])
        if issubclass(kind, BadInput):
            field, _, problem = reason[2].partition(": ")
            return kind(field, problem) if problem else kind(component, reason[2])
        return kind(reason[2], component=component, said_by="model")
    if _LOST.search(message):
        return lost(component)
    logger.error("component failed", extra={"component": component, "problem": message[:300]})
    return VitaError(f"{component} failed", component=component)


def error_of_rpc(component: str, error: grpc.RpcError) -> VitaError:
    """What a failed call means to us."""
    code: grpc.StatusCode = error.code()  # type: ignore[attr-defined]
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return ComponentUnavailable(f"{component} is not reachable", component=component)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return late(component)
    return error_of_message(component, str(error.details()))  # type: ignore[attr-defined]


def is_refusal(error: VitaError) -> bool:
    """Whether a living model said so itself: its endpoint is well."""
    return error.metadata.get("said_by") == "model"
