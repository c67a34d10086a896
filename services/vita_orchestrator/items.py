"""The client's hand on the conversation's items: create, delete, retrieve, cut."""

from __future__ import annotations

from collections.abc import Callable

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import (
    ITEM_STATUS_COMPLETED,
    ITEM_STATUS_IN_PROGRESS,
    ROLE_ASSISTANT,
    ROLE_USER,
    ContentPart,
    Item,
)
from vita.media.v1.media_pb2 import ImageFrame
from vita_runtime.errors import BadInput, OutOfOrder
from vita_sessions.session import Entry, Session

from vita_orchestrator.checks import check_item
from vita_orchestrator.history import picture_key
from vita_orchestrator.outbox import Outbox
from vita_orchestrator.policy import Policy
from vita_orchestrator.tools import check_belongs


class Items:
    """One session's items, as its stream changes them. Errors leave them as they were."""

    def __init__(self, session: Session, outbox: Outbox, policy: Policy, new_id: Callable[[str], str]) -> None:
        self._session = session
        self._outbox = outbox
        self._policy = policy
        self._new_id = new_id

    async def create(self, request: wire.CreateItem, turn_id: str) -> Item:
        """Add a client's item and say so. Raises BadInput, AlreadyExists, NotFound."""
        item = Item()
        item.CopyFrom(request.item)
        item.DiscardUnknownFields()  # no limit sees them
        check_item(item, self._policy)
        check_belongs(item, self._session.entries)
        item.item_id = item.item_id or self._new_id("item")
        item.status = ITEM_STATUS_COMPLETED
        await self.add(item, turn_id, request.previous_item_id)
        return item

    async def add(self, item: Item, turn_id: str, previous_item_id: str = "") -> str:
        """Add an item and say so; return the id of the one before it. Raises BadInput: there is no room for it."""
        entry = Entry(item, turn_id)
        if len(self._session.entries) >= self._policy.max_item_count:
            raise BadInput("item", "one too many", limit=f"{self._policy.max_item_count} items")
        self.check_room("item", entry.words_byte_count)
        previous = self._session.add(entry, previous_item_id)
        await self._outbox.send(wire.ItemAdded(item=bare(item), previous_item_id=previous), turn_id)
        return previous

    def check_room(self, field: str, byte_count: int = 0) -> None:
        """Raise BadInput if the record has no room for that many bytes more that are not media.

        The record drops media to stay small, and never words: words that do not fit must not get in.
        """
        size, limit = self._session.words_byte_count + byte_count, self._policy.max_words_bytes
        if size > limit:
            raise BadInput(
                field, "the conversation's words are too many", value=f"{size} bytes", limit=f"{limit} bytes"
            )

    async def delete(self, item_id: str) -> None:
        """Remove an item and say so. Raises NotFound; OutOfOrder: it is the answer in progress."""
        if self._session.find(item_id).item.status == ITEM_STATUS_IN_PROGRESS:
            raise OutOfOrder("the answer is in progress", field="item_id", value=item_id)
        entry = self._session.remove(item_id)
        await self._outbox.send(wire.ItemDeleted(item_id=item_id), entry.turn_id)

    async def retrieve(self, item_id: str) -> None:
        """Send an item with its media. Raises NotFound."""
        entry = self._session.find(item_id)
        await self._outbox.send(wire.ItemRetrieved(item=entry.item), entry.turn_id)

    async def truncate(self, item_id: str, audio_end_ms: int) -> None:
        """Cut an answer and say what remains. Raises NotFound; BadInput: it is no answer."""
        entry = self._session.find(item_id)
        if entry.item.role != ROLE_ASSISTANT:
            raise BadInput("item_id", "is not an answer's", value=item_id)
        if audio_end_ms < 0:
            raise BadInput("audio_end_ms", "is negative", value=audio_end_ms, limit="0")
        if entry.item.status != ITEM_STATUS_IN_PROGRESS and entry.marks:
            self._session.cut(item_id, audio_end_ms)
        event = wire.ItemTruncated(item_id=item_id, audio_end_ms=audio_end_ms, text=entry.text)
        await self._outbox.send(event, entry.turn_id)

    async def add_pictures(self, pictures: list[ImageFrame], turn_id: str) -> None:
        """Make an item of pictures that came before anything was said."""
        if not pictures:
            return
        item = Item(item_id=self._new_id("item"), role=ROLE_USER, status=ITEM_STATUS_COMPLETED)
        item.parts.extend(ContentPart(image=picture) for picture in pictures)
        await self.add(item, turn_id)
        pictures.clear()

    async def forget_question(self) -> None:
        """Remove what was said at the end of the conversation: it was noise. Pictures and words beside it stay."""
        for entry in reversed(list(self._session.entries)):
            if entry.item.role != ROLE_USER:
                return
            await self._keep_parts(entry, [part for part in entry.item.parts if not part.HasField("audio")])

    async def forget_picture(self, key: str) -> None:
        """Remove a picture that is none, and its item if nothing else is in it."""
        for entry in list(self._session.entries):
            good = [part for part in entry.item.parts if not part.HasField("image") or picture_key(part.image) != key]
            await self._keep_parts(entry, good)

    async def _keep_parts(self, entry: Entry, parts: list[ContentPart]) -> None:
        """Leave only these parts of an item; without any, the item goes."""
        if len(parts) == len(entry.item.parts):
            return
        kept = [ContentPart.FromString(part.SerializeToString()) for part in parts]
        del entry.item.parts[:]
        entry.item.parts.extend(kept)
        if not kept:
            await self.delete(entry.item.item_id)


def bare(item: Item) -> Item:
    """Return a copy of the item without its media."""
    copy = Item()
    copy.CopyFrom(item)
    for part in copy.parts:
        if part.HasField("image"):
            part.image.content = b""
        elif part.HasField("audio"):
            part.audio.samples = b""
    return copy
