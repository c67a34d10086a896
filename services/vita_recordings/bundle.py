"""A recording as a file: a zip of protobuf records that says itself how it is read. docs/recordings.md describes it.

    manifest.json   Manifest as JSON, with the SHA-256 of every other member
    snapshot.pb     Snapshot
    records.pb      Records by time, each after its length as a varint
    schema.pb       FileDescriptorSet of every message inside, so that no code of ours is needed to read it

A file is named for its content, so it never changes and never comes twice. A file may come from anywhere: what is
larger than a recording can be is refused before it is unpacked, and nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import secrets
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from vita.recording.v1.recording_pb2 import Manifest, Record
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_runtime.errors import VitaError

from vita_recordings.schema import schema_of

FORMAT = 1
SUFFIX = ".vita.zip"
MANIFEST, SNAPSHOT, RECORDS, SCHEMA = "manifest.json", "snapshot.pb", "records.pb", "schema.pb"
MEMBERS = (MANIFEST, SNAPSHOT, RECORDS, SCHEMA)
NAME_CHARS = 32  # of the manifest's SHA-256, in hex: 128 bits

# The recorder stops at 64 MiB of notes; a session's media are 64 MiB at most; the rest is envelopes.
LARGEST_BYTES = {MANIFEST: 2**20, SNAPSHOT: 128 * 2**20, RECORDS: 192 * 2**20, SCHEMA: 4 * 2**20}
LARGEST_RECORD_COUNT = 400_000  # twice what the recorder notes, for the client's edge is added to it
LARGEST_FILE_BYTES = sum(LARGEST_BYTES.values())
_LARGEST_VARINT_BYTES = 5  # of a length below 2**32
_CONTENT = bytes([Record.CONTENT_FIELD_NUMBER << 3 | 2])  # what stands before its length on the wire
_PIECE_BYTES = 64 * 2**10  # small enough for memory that is at hand anyway


class BadRecording(VitaError):
    """A file that is no recording, or a recording that cannot be read; the message is one line."""

    reason = "ERROR_REASON_BAD_INPUT"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A recording in memory."""

    manifest: Manifest
    snapshot: Snapshot
    records: tuple[Record, ...]  # by time


def read(path: Path) -> Bundle:
    """Read a recording, wherever it comes from.

    Raises:
        BadRecording: it is none, it is damaged, or it is of a later format.
    """
    members = _members(path)
    manifest = _manifest(members[MANIFEST])
    for name in (SNAPSHOT, RECORDS, SCHEMA):
        if manifest.sha256.get(name, "") != hashlib.sha256(members[name]).hexdigest():
            raise BadRecording(f"{path.name}: {name} is not what the manifest says (SHA-256 differs)")
    try:
        snapshot = Snapshot.FromString(members[SNAPSHOT])
        records = tuple(_split(members[RECORDS]))
    except DecodeError as error:
        raise BadRecording(f"{path.name}: a message in it cannot be parsed") from error
    if manifest.record_count != len(records):
        raise BadRecording(f"{path.name}: {len(records)} records, and the manifest says {manifest.record_count}")
    return Bundle(manifest, snapshot, records)


def write(bundle: Bundle, folder: Path, *, compression: int = zipfile.ZIP_DEFLATED, level: int = 1) -> Path:
    """Write a recording; see `pack`."""
    records = ((record, b"") for record in bundle.records)
    return pack(bundle.manifest, bundle.snapshot, records, folder, compression=compression, level=level)


def pack(
    manifest: Manifest,
    snapshot: Snapshot,
    records: Iterable[tuple[Record, bytes]],
    folder: Path,
    *,
    compression: int = zipfile.ZIP_STORED,
    level: int | None = None,
) -> Path:
    """Write a recording under a temporary name, then under the name of its content; return where it is.

    Args:
        manifest: What it is of; format, sums and the number of records are put in here.
        snapshot: Where it begins.
        records: By time. Each with its content, which is empty where the record itself holds it.
        folder: Where it goes.
        compression: How it is packed.
        level: How much.

    Raises:
        OSError: the folder cannot hold it; nothing of it is left there.
        BadRecording: it is larger than `read` takes, or holds a message of a type that is unknown here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{secrets.token_hex(8)}.part"
    try:
        with zipfile.ZipFile(temporary, "w", compression, compresslevel=level) as archive:
            members, joined = _Packing(archive), _Joined(records)
            members.add(RECORDS, joined)
            members.add(SNAPSHOT, [snapshot.SerializeToString(deterministic=True)])
            members.add(SCHEMA, [_schema(frozenset(joined.types))])
            final = Manifest()
            final.CopyFrom(manifest)
            final.format, final.record_count = FORMAT, joined.count
            final.sha256.clear()
            final.sha256.update(members.sha256)
            text = json_format.MessageToJson(final, preserving_proto_field_name=True, sort_keys=True, indent=1)
            members.add(MANIFEST, [text.encode()])
        return temporary.replace(folder / (members.sha256[MANIFEST][:NAME_CHARS] + SUFFIX))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class _Packing:
    """Writes members piece by piece, so that a recording is never in memory a second time."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.sha256: dict[str, str] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a member. Raises BadRecording: it is larger than can be read."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name, "w") as member:  # which stamps it 1980: the file depends on its content alone
            for piece in pieces:
                size += len(piece)
                if size > LARGEST_BYTES[name]:
                    raise BadRecording(f"{name} would be too large: over {LARGEST_BYTES[name]} bytes")
                digest.update(piece)
                member.write(piece)
        self.sha256[name] = digest.hexdigest()


class _Joined:
    """The records, each after its length, some at a time; and what there was, once it has been gone through.

    A content is copied once, behind the rest of its record: the order of fields is free.
    """

    def __init__(self, records: Iterable[tuple[Record, bytes]]) -> None:
        self._records = records
        self.types: set[str] = set()
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = 0
        for record, content in self._records:
            self.types.add(record.type)
            self.count += 1
            head = record.SerializeToString(deterministic=True)
            if content:
                head += _CONTENT + _varint(len(content))
            parts += (_varint(len(head) + len(content)), head, content)
            size += len(head) + len(content)
            if size >= _PIECE_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
        yield b"".join(parts)


@lru_cache(maxsize=64)
def _schema(types: frozenset[str]) -> bytes:
    names = {name for name in types if name and "/" not in name}  # the others are media types
    try:
        return schema_of(["vita.recording.v1.Manifest", "vita.recording.v1.Snapshot", *sorted(names)])
    except KeyError as error:
        raise BadRecording(f"a record's type is unknown here: {error.args[0]}") from error


def _members(path: Path) -> dict[str, bytes]:
    """Unpack a file's members, never more than a recording can hold."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise BadRecording(f"{path.name}: too large: {path.stat().st_size} bytes, at most {LARGEST_FILE_BYTES}")
        with zipfile.ZipFile(path) as archive:
            names = sorted(entry.filename for entry in archive.infolist())
            if names != sorted(MEMBERS):
                raise BadRecording(f"{path.name}: not a recording: its members are not {', '.join(MEMBERS)}")
            return {name: _unpack(archive, name, path) for name in MEMBERS}
    except OSError as error:
        raise BadRecording(f"{path}: cannot be read: {error.strerror or error}") from error
    except zipfile.BadZipFile as error:
        raise BadRecording(f"{path.name}: not a recording: not a whole zip file") from error
    except (RuntimeError, NotImplementedError, EOFError, zlib.error, ValueError, UnicodeError) as error:
        raise BadRecording(f"{path.name}: not a recording: a zip file of another kind, or a damaged one") from error


def _unpack(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadRecording(f"{path.name}: {name} is packed in an unknown way ({entry.compress_type})")
    if entry.file_size > LARGEST_BYTES[name]:
        raise BadRecording(f"{path.name}: {name} is too large: {entry.file_size} bytes, at most {LARGEST_BYTES[name]}")
    with archive.open(entry) as member:
        content = member.read(LARGEST_BYTES[name] + 1)  # what the header says need not be so
    if len(content) != entry.file_size:
        raise BadRecording(f"{path.name}: {name} is not as long as it says")
    return content


def _manifest(content: bytes) -> Manifest:
    try:
        manifest = json_format.Parse(content.decode(), Manifest(), ignore_unknown_fields=True, max_recursion_depth=10)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecording(f"{MANIFEST} cannot be parsed") from error
    if manifest.format != FORMAT:
        raise BadRecording(f"its format is {manifest.format}; this version reads format {FORMAT}")
    return manifest


def _split(content: bytes) -> Iterator[Record]:
    """Yield the records. Raises BadRecording: a length is wrong; DecodeError: a record is."""
    view, position, count = memoryview(content), 0, 0
    while position < len(content):
        count += 1
        if count > LARGEST_RECORD_COUNT:
            raise BadRecording(f"{RECORDS} holds too many records: more than {LARGEST_RECORD_COUNT}")
        length, position = _read_varint(content, position)
        if length > len(content) - position:
            raise BadRecording(f"{RECORDS} ends within a record")
        yield Record.FromString(view[position : position + length].tobytes())
        position += length


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    number = 0
    for index, digit in enumerate(content[position : position + _LARGEST_VARINT_BYTES]):
        number |= (digit & 0x7F) << (7 * index)
        if digit < 0x80:
            return number, position + index + 1
    raise BadRecording(f"{RECORDS} holds a length that is none")
