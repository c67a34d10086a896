"""A session to bytes and back: a small head, and each medium apart under the hash of its content.

Media never change, so a save writes the head and only the media that are new: a turn costs its own sound, not the
whole conversation's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vita.conversation.v1.item_pb2 import ContentPart, Item
from vita.session.v1 import session_pb2

from vita_sessions.session import Entry, Mark, Session, media_of, set_media

MEDIA_ID_BYTES = 16  # of a SHA-256: collisions within one session are out of the question


@dataclass(frozen=True, slots=True)
class Record:
    """A session as a store keeps it."""

    head: bytes
    media: Mapping[str, bytes]  # by media id; those that the store does not hold yet
    media_ids: frozenset[str]  # of all media of the session


def encode(session: Session, held: Collection[str] = ()) -> Record:
    """Write a session down; the session may change afterwards without changing the record.

    Args:
        session: What to write.
        held: Ids of media that the store holds: they are not copied, nor hashed again.
    """
    media: dict[str, bytes] = {}
    ids: set[str] = set()
    head = session_pb2.Session(
        session_id=session.session_id,
        tenant_id=session.tenant_id,
        configuration=session.configuration,
        variants=[session_pb2.PinnedVariant(component=c, variant=v) for c, v in sorted(session.variants.items())],
        generation=session.generation,
        sequence_number=session.sequence_number,
        turn_count=session.turn_count,
        created_ms=session.created_ms,
    )
    for entry in session.entries:
        head.entries.append(_encode_entry(entry))
        for part, media_id in zip(entry.item.parts, media_ids(entry), strict=True):
            if media_id and media_id not in ids:
                ids.add(media_id)
                if media_id not in held:
                    media[media_id] = media_of(part)
    return Record(head.SerializeToString(), media, frozenset(ids))


def decode(record: Record) -> Session:
    """Read a session. A medium that the record lacks comes back empty, as an evicted one does."""
    head = session_pb2.Session.FromString(record.head)
    return Session(
        session_id=head.session_id,
        tenant_id=head.tenant_id,
        configuration=head.configuration,
        variants={pinned.component: pinned.variant for pinned in head.variants},
        entries=[_decode_entry(entry, record.media) for entry in head.entries],
        generation=head.generation,
        sequence_number=head.sequence_number,
        turn_count=head.turn_count,
        created_ms=head.created_ms,
    )


def media_ids(entry: Entry) -> tuple[str, ...]:
    """Name the media of an item's parts by their content; empty: a part has none."""
    size, ids = entry.known_media
    if size != entry.byte_count or len(ids) != len(entry.item.parts):
        ids = tuple(_media_id(media_of(part)) for part in entry.item.parts)
        entry.known_media = (entry.byte_count, ids)
    return ids


def _encode_entry(entry: Entry) -> session_pb2.Entry:
    marks = [session_pb2.Mark(text_end=mark.text_end, audio_end_ms=mark.audio_end_ms) for mark in entry.marks]
    item = _without_media(entry.item)
    return session_pb2.Entry(item=item, media_ids=media_ids(entry), marks=marks, turn_id=entry.turn_id)


def _decode_entry(entry: session_pb2.Entry, media: Mapping[str, bytes]) -> Entry:
    for part, media_id in zip(entry.item.parts, entry.media_ids, strict=True):
        if media_id:
            set_media(part, media.get(media_id, b""))
    marks = [Mark(mark.text_end, mark.audio_end_ms) for mark in entry.marks]
    return Entry(entry.item, entry.turn_id, marks)


def _media_id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[: MEDIA_ID_BYTES * 2] if content else ""


def _without_media(item: Item) -> Item:
    """A copy of the item, its media empty, made without copying the media."""
    bare = Item(item_id=item.item_id, role=item.role, status=item.status)
    if item.HasField("tool_call"):
        bare.tool_call.CopyFrom(item.tool_call)
    if item.HasField("tool_result"):
        bare.tool_result.CopyFrom(item.tool_result)
    bare.parts.extend(_bare_part(part) for part in item.parts)
    return bare


def _bare_part(part: ContentPart) -> ContentPart:
    bare = ContentPart()
    match part.WhichOneof("part"):
        case "audio":
            sound = part.audio
            bare.audio.sample_rate_hz, bare.audio.encoding = sound.sample_rate_hz, sound.encoding
            bare.audio.transcript = sound.transcript
        case "image":
            bare.image.encoding, bare.image.detail = part.image.encoding, part.image.detail
        case _:
            bare.CopyFrom(part)
    return bare
