from vita.conversation.v1 import conversation_service_pb2 as _conversation_service_pb2
from vita.conversation.v1 import item_pb2 as _item_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Session(_message.Message):
    __slots__ = ("session_id", "tenant_id", "configuration", "variants", "entries", "generation", "sequence_number", "created_ms", "turn_count")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    TURN_COUNT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    tenant_id: str
    configuration: _conversation_service_pb2.SessionConfiguration
    variants: _containers.RepeatedCompositeFieldContainer[PinnedVariant]
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    generation: int
    sequence_number: int
    created_ms: int
    turn_count: int
    def __init__(self, session_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., configuration: _Optional[_Union[_conversation_service_pb2.SessionConfiguration, _Mapping]] = ..., variants: _Optional[_Iterable[_Union[PinnedVariant, _Mapping]]] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., generation: _Optional[int] = ..., sequence_number: _Optional[int] = ..., created_ms: _Optional[int] = ..., turn_count: _Optional[int] = ...) -> None: ...

class PinnedVariant(_message.Message):
    __slots__ = ("component", "variant")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    component: str
    variant: str
    def __init__(self, component: _Optional[str] = ..., variant: _Optional[str] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("item", "media_ids", "marks", "turn_id")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    MEDIA_IDS_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    item: _item_pb2.Item
    media_ids: _containers.RepeatedScalarFieldContainer[str]
    marks: _containers.RepeatedCompositeFieldContainer[Mark]
    turn_id: str
    def __init__(self, item: _Optional[_Union[_item_pb2.Item, _Mapping]] = ..., media_ids: _Optional[_Iterable[str]] = ..., marks: _Optional[_Iterable[_Union[Mark, _Mapping]]] = ..., turn_id: _Optional[str] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("text_end", "audio_end_ms")
    TEXT_END_FIELD_NUMBER: _ClassVar[int]
    AUDIO_END_MS_FIELD_NUMBER: _ClassVar[int]
    text_end: int
    audio_end_ms: int
    def __init__(self, text_end: _Optional[int] = ..., audio_end_ms: _Optional[int] = ...) -> None: ...
