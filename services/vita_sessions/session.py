"""A session as a record: what a conversation is, apart from any process that holds it.

Whatever is needed to go on elsewhere is here: the configuration, the pinned variants, the items with their media, and
for each answer the marks that tie its words to its sound, so that history can be cut to what was heard. Media are kept
as they came (pictures compressed, sound as PCM); embeddings never. When the record grows too large the oldest sound
goes first, then the oldest pictures: words are never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vita.conversation.v1.conversation_service_pb2 import SessionConfiguration
from vita.conversation.v1.item_pb2 import ITEM_STATUS_INCOMPLETE, ContentPart, Item
from vita_runtime.errors import AlreadyExists, BadInput, NotFound

MAX_BYTES = 8 * 2**20  # of a whole record; a save must stay far below a turn's length
ITEM_BYTES = 128  # an item's id (64 characters at most), role and status, and their tags
PART_BYTES = 64  # likewise a part's kind, encoding, rate, size and time
SOUND_TURNS = 8  # turns whose sound is kept: as far back as a context rebuilt from the record hears, not only reads


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in an answer that its text and its sound agree on."""

    text_end: int  # characters
    audio_end_ms: int  # from the answer's first sample


@dataclass(slots=True)
class Entry:
    """One item of the conversation."""

    item: Item
    turn_id: str = ""
    marks: list[Mark] = field(default_factory=list[Mark])  # of an answer, in order
    # What record.py has worked out about the media, and the item's size then: media never change but by being dropped.
    known_media: tuple[int, tuple[str, ...]] = field(default=(-1, ()), compare=False, repr=False)

    @property
    def text(self) -> str:
        """The item's words."""
        return "".join(part.text for part in self.item.parts)

    @property
    def byte_count(self) -> int:
        """Bytes of the item, media included."""
        return self.item.ByteSize()

    @property
    def words_byte_count(self) -> int:
        """Bytes of the item without its media, or a few more; media are not looked at, they are large."""
        words = (part.audio.transcript if part.HasField("audio") else part.text for part in self.item.parts)
        said = sum(PART_BYTES + len(text.encode()) for text in words)
        return ITEM_BYTES + said + self.item.tool_call.ByteSize() + self.item.tool_result.ByteSize()


@dataclass(slots=True)
class Session:
    """One session. Only the process that holds its lease may change it."""

    session_id: str
    tenant_id: str
    configuration: SessionConfiguration = field(default_factory=SessionConfiguration)
    variants: dict[str, str] = field(default_factory=dict[str, str])  # component → pinned variant
    entries: list[Entry] = field(default_factory=list[Entry])
    generation: int = 0  # rises at every interruption
    sequence_number: int = 0  # of the last event sent
    turn_count: int = 0
    created_ms: int = 0  # since 1970

    def find(self, item_id: str) -> Entry:
        """Return an item's entry.

        Raises:
            NotFound: there is none.
        """
        return self.entries[self.index(item_id)]

    def index(self, item_id: str) -> int:
        """Return where an item is. Raises NotFound likewise."""
        for index, entry in enumerate(self.entries):
            if entry.item.item_id == item_id:
                return index
        raise NotFound("no such item", field="item_id", value=item_id)

    def add(self, entry: Entry, previous_item_id: str = "") -> str:
        """Add an item at the end, after another, or at the front ("root"); return the id of the item before it.

        Raises:
            AlreadyExists: an item has this id.
            NotFound: there is no previous item of that id.
        """
        if any(known.item.item_id == entry.item.item_id for known in self.entries):
            raise AlreadyExists("an item with this id exists", field="item_id", value=entry.item.item_id)
        at = len(self.entries)
        if previous_item_id:
            at = 0 if previous_item_id == "root" else self.index(previous_item_id) + 1
        self.entries.insert(at, entry)
        return self.entries[at - 1].item.item_id if at else ""

    def remove(self, item_id: str) -> Entry:
        """Remove an item and return it. Raises NotFound: nothing was removed."""
        return self.entries.pop(self.index(item_id))

    def cut(self, item_id: str, audio_end_ms: int) -> Entry:
        """Cut an answer to what was heard: to its last mark at or before that time.

        Returns:
            The entry; its item is INCOMPLETE if anything was cut.
        """
        entry = self.find(item_id)
        heard = [mark for mark in entry.marks if mark.audio_end_ms <= audio_end_ms]
        if len(heard) == len(entry.marks):
            return entry
        text = entry.text[: heard[-1].text_end if heard else 0]
        entry.marks = heard
        del entry.item.parts[:]
        if text:
            entry.item.parts.append(ContentPart(text=text))
        entry.item.status = ITEM_STATUS_INCOMPLETE
        return entry

    @property
    def byte_count(self) -> int:
        """Bytes of all items, media included."""
        return sum(entry.byte_count for entry in self.entries)

    @property
    def words_byte_count(self) -> int:
        """Bytes of all items without media, at most: what `evict` cannot drop."""
        return sum(entry.words_byte_count for entry in self.entries)

    def evict(self, max_bytes: int = MAX_BYTES, sound_turns: int = SOUND_TURNS) -> None:
        """Drop sound older than the last turns, then the oldest sound, then the oldest pictures, until it fits.

        A dropped medium leaves its part behind, empty of samples or content (a transcript stays).

        Raises:
            BadInput: the words alone do not fit.
        """
        turns = list(dict.fromkeys(entry.turn_id for entry in self.entries if entry.turn_id))
        old_turns = set(turns[: max(0, len(turns) - sound_turns)])
        for entry in self.entries:
            if entry.turn_id in old_turns:
                drop_sound(entry.item)
        excess = self.byte_count - max_bytes
        for part in [*self._media("audio"), *self._media("image")]:
            if excess <= 0:
                return
            excess -= drop_media(part)
        if excess > 0:
            raise BadInput("session", "is too large", value=self.byte_count, limit=max_bytes)

    def _media(self, kind: str) -> Iterator[ContentPart]:
        """Parts that hold media of a kind, oldest first."""
        for entry in self.entries:
            yield from (part for part in entry.item.parts if part.WhichOneof("part") == kind and media_of(part))


def media_of(part: ContentPart) -> bytes:
    """The bytes of a part's media; empty: it has none."""
    match part.WhichOneof("part"):
        case "audio":
            return part.audio.samples
        case "image":
            return part.image.content
        case _:
            return b""


def set_media(part: ContentPart, content: bytes) -> None:
    """Put the bytes of a part's media in place."""
    if part.WhichOneof("part") == "audio":
        part.audio.samples = content
    else:
        part.image.content = content


def drop_media(part: ContentPart) -> int:
    """Empty a part's media; return the bytes that gave."""
    size = len(media_of(part))
    set_media(part, b"")
    return size


def drop_sound(item: Item) -> None:
    """Empty an item of its sound; transcripts stay."""
    for part in item.parts:
        if part.WhichOneof("part") == "audio":
            part.audio.samples = b""
