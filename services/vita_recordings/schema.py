"""The schema of what a recording holds: the descriptors of its messages, and messages found by their type's name."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError, Message


def schema_of(names: Iterable[str]) -> bytes:
    """Return a FileDescriptorSet of these messages and of all that they need, dependencies first.

    Raises:
        KeyError: no message of this name is known to this process.
    """
    pool = descriptor_pool.Default()
    schema, seen = FileDescriptorSet(), set[str]()
    for name in names:
        _add(pool.FindMessageTypeByName(name).file, schema, seen)
    return schema.SerializeToString(deterministic=True)


def parse(type_name: str, content: bytes) -> Message | None:
    """Return the message that a record holds; None: its type is not known here, or it is not of that type."""
    if not type_name or "/" in type_name:
        return None
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(type_name)
        return message_factory.GetMessageClass(descriptor).FromString(content)
    except (KeyError, DecodeError):
        return None


def _add(file: FileDescriptor, schema: FileDescriptorSet, seen: set[str]) -> None:
    if file.name in seen:
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        _add(dependency, schema, seen)
    file.CopyToProto(schema.file.add())
