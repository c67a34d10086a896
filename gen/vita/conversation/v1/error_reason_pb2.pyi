from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_BAD_INPUT: _ClassVar[ErrorReason]
    ERROR_REASON_BAD_MEDIA: _ClassVar[ErrorReason]
    ERROR_REASON_OUT_OF_ORDER: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_ALREADY_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_RESPONSE_ACTIVE: _ClassVar[ErrorReason]
    ERROR_REASON_NO_RESPONSE_ACTIVE: _ClassVar[ErrorReason]
    ERROR_REASON_AT_CAPACITY: _ClassVar[ErrorReason]
    ERROR_REASON_CONTEXT_FULL: _ClassVar[ErrorReason]
    ERROR_REASON_COMPONENT_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE: _ClassVar[ErrorReason]
    ERROR_REASON_STORE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_DRAINING: _ClassVar[ErrorReason]
    ERROR_REASON_SESSION_TAKEN: _ClassVar[ErrorReason]
    ERROR_REASON_UNAUTHENTICATED: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_BAD_TOOL_CALL: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_BAD_INPUT: ErrorReason
ERROR_REASON_BAD_MEDIA: ErrorReason
ERROR_REASON_OUT_OF_ORDER: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_ALREADY_EXISTS: ErrorReason
ERROR_REASON_RESPONSE_ACTIVE: ErrorReason
ERROR_REASON_NO_RESPONSE_ACTIVE: ErrorReason
ERROR_REASON_AT_CAPACITY: ErrorReason
ERROR_REASON_CONTEXT_FULL: ErrorReason
ERROR_REASON_COMPONENT_UNAVAILABLE: ErrorReason
ERROR_REASON_DEADLINE: ErrorReason
ERROR_REASON_STORE_UNAVAILABLE: ErrorReason
ERROR_REASON_DRAINING: ErrorReason
ERROR_REASON_SESSION_TAKEN: ErrorReason
ERROR_REASON_UNAUTHENTICATED: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_BAD_TOOL_CALL: ErrorReason
