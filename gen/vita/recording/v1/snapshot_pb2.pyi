from vita.session.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Snapshot(_message.Message):
    __slots__ = ("session", "media", "kept_sound", "received_ms", "context_position")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    KEPT_SOUND_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_POSITION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    media: _containers.RepeatedCompositeFieldContainer[Medium]
    kept_sound: bytes
    received_ms: float
    context_position: int
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ..., media: _Optional[_Iterable[_Union[Medium, _Mapping]]] = ..., kept_sound: _Optional[bytes] = ..., received_ms: _Optional[float] = ..., context_position: _Optional[int] = ...) -> None: ...

class Medium(_message.Message):
    __slots__ = ("media_id", "content")
    MEDIA_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    media_id: str
    content: bytes
    def __init__(self, media_id: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...
