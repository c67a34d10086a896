"""Errors as the wire carries them: google.rpc.Status with an ErrorInfo. The one place where they are translated."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from vita_runtime.errors import VitaError

DOMAIN = "vita"


def to_status(error: VitaError) -> Status:
    """Return the status of an error of ours."""
    details = Any()
    details.Pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    code: int = error.code.value[0]
    return Status(code=code, message=error.message, details=[details])
