from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Form(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORM_UNSPECIFIED: _ClassVar[Form]
    FORM_FULL: _ClassVar[Form]
    FORM_REDACTED: _ClassVar[Form]

class Edge(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDGE_UNSPECIFIED: _ClassVar[Edge]
    EDGE_CLIENT: _ClassVar[Edge]
    EDGE_CONVERSATION: _ClassVar[Edge]
    EDGE_COMPONENT: _ClassVar[Edge]
    EDGE_INSIDE: _ClassVar[Edge]

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_OPENED: _ClassVar[Kind]
    KIND_REQUEST: _ClassVar[Kind]
    KIND_REPLY: _ClassVar[Kind]
    KIND_FAILED: _ClassVar[Kind]
    KIND_CLOSED: _ClassVar[Kind]
    KIND_OBSERVED: _ClassVar[Kind]
FORM_UNSPECIFIED: Form
FORM_FULL: Form
FORM_REDACTED: Form
EDGE_UNSPECIFIED: Edge
EDGE_CLIENT: Edge
EDGE_CONVERSATION: Edge
EDGE_COMPONENT: Edge
EDGE_INSIDE: Edge
KIND_UNSPECIFIED: Kind
KIND_OPENED: Kind
KIND_REQUEST: Kind
KIND_REPLY: Kind
KIND_FAILED: Kind
KIND_CLOSED: Kind
KIND_OBSERVED: Kind

class Record(_message.Message):
    __slots__ = ("time_ns", "edge", "kind", "component", "address", "call", "type", "content", "byte_count", "name")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    edge: Edge
    kind: Kind
    component: str
    address: str
    call: int
    type: str
    content: bytes
    byte_count: int
    name: str
    def __init__(self, time_ns: _Optional[int] = ..., edge: _Optional[_Union[Edge, str]] = ..., kind: _Optional[_Union[Kind, str]] = ..., component: _Optional[str] = ..., address: _Optional[str] = ..., call: _Optional[int] = ..., type: _Optional[str] = ..., content: _Optional[bytes] = ..., byte_count: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("format", "form", "session_id", "tenant_id", "turns", "started_unix_ms", "software", "variants", "settings", "record_count", "sha256", "gateway_clock_ns")
    class VariantsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class Sha256Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_CLOCK_NS_FIELD_NUMBER: _ClassVar[int]
    format: int
    form: Form
    session_id: str
    tenant_id: str
    turns: _containers.RepeatedCompositeFieldContainer[RecordedTurn]
    started_unix_ms: int
    software: str
    variants: _containers.ScalarMap[str, str]
    settings: _containers.ScalarMap[str, str]
    record_count: int
    sha256: _containers.ScalarMap[str, str]
    gateway_clock_ns: int
    def __init__(self, format: _Optional[int] = ..., form: _Optional[_Union[Form, str]] = ..., session_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., turns: _Optional[_Iterable[_Union[RecordedTurn, _Mapping]]] = ..., started_unix_ms: _Optional[int] = ..., software: _Optional[str] = ..., variants: _Optional[_Mapping[str, str]] = ..., settings: _Optional[_Mapping[str, str]] = ..., record_count: _Optional[int] = ..., sha256: _Optional[_Mapping[str, str]] = ..., gateway_clock_ns: _Optional[int] = ...) -> None: ...

class RecordedTurn(_message.Message):
    __slots__ = ("turn_id", "response_id", "outcome", "started_ns", "ended_ns")
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STARTED_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_NS_FIELD_NUMBER: _ClassVar[int]
    turn_id: str
    response_id: str
    outcome: str
    started_ns: int
    ended_ns: int
    def __init__(self, turn_id: _Optional[str] = ..., response_id: _Optional[str] = ..., outcome: _Optional[str] = ..., started_ns: _Optional[int] = ..., ended_ns: _Optional[int] = ...) -> None: ...
