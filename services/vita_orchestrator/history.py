"""What the model's context should hold, by the record: items to parts, in the order the model was trained to read.

Consecutive items of the user's are one turn to the model. Media that the record has dropped leave their transcript, if
there is one. An answer in progress is no history yet. What an answer calls, and what the tools say, belongs to the turn
of the question.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vita.conversation.v1.conversation_service_pb2 import SessionConfiguration
from vita.conversation.v1.item_pb2 import (
    ITEM_STATUS_IN_PROGRESS,
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    ContentPart,
    Item,
    Role,
)
from vita.media.v1.media_pb2 import IMAGE_DETAIL_HIGH, IMAGE_DETAIL_LOW, AudioClip, ImageFrame
from vita_sessions.session import Entry

from vita_orchestrator.components import Embeddings, QueryState, ToolCall
from vita_orchestrator.context import Part, RowSource
from vita_orchestrator.tools import tools_text

ROLES: dict[Role, str] = {ROLE_SYSTEM: "system", ROLE_USER: "user", ROLE_ASSISTANT: "assistant", ROLE_TOOL: "tool"}

AFTER_PICTURES = "\n"  # as in training (docs/model.md, 3.2)
NEXT_TURN = "next"  # names a turn that has no item yet


class Senses(Protocol):
    """Turns media into sources of rows."""

    def see(self, picture: ImageFrame) -> RowSource:
        """Return a picture's rows."""
        ...

    def hear(self, item_id: str, sound: AudioClip) -> RowSource:
        """Return the rows of an item's sound."""
        ...


@dataclass(frozen=True, slots=True)
class Coming:
    """What belongs to the user's next item and is no item yet."""

    pictures: Sequence[ImageFrame] = ()
    item_id: str = ""
    sound: RowSource | None = None  # of the utterance being spoken


class Gone:
    """A sound that the record has dropped: it stays in a context that holds it, and adds nothing to a new one."""

    is_whole = True

    async def rows(self, start: int) -> AsyncGenerator[Embeddings]:
        """Yield nothing."""
        for row in ():
            yield row


def plan(configuration: SessionConfiguration, entries: Iterable[Entry], senses: Senses, coming: Coming) -> list[Part]:
    """Return the parts of the whole conversation, what is coming included."""
    parts = system_turn(configuration.instructions, tools_text(configuration.tools))
    asked: list[Item] = []
    turn = ""
    for entry in entries:
        item = entry.item
        if item.status == ITEM_STATUS_IN_PROGRESS:
            continue
        if item.role == ROLE_USER:
            asked.append(item)
            continue
        parts += user_turn(asked, senses, Coming())
        turn = asked[0].item_id if asked else turn or item.item_id
        parts += spoken_parts(item, "" if item.role == ROLE_SYSTEM else turn)
        asked = []
    return parts + user_turn(asked, senses, coming)


def system_turn(instructions: str, tools: str) -> list[Part]:
    """Return the instructions with the tools that go with them."""
    if not instructions and not tools:
        return []
    return [Part(f"instructions/{digest((instructions + tools).encode())}", "system", "", instructions, tools)]


def spoken_parts(item: Item, turn: str) -> list[Part]:
    """Return what an item that is not the user's says, calls, or tells of a call."""
    if item.HasField("tool_call"):
        call = ToolCall(item.tool_call.name, item.tool_call.arguments)
        return [
            Part(f"{item.item_id}/call/{digest(f'{call.name} {call.arguments}'.encode())}", "assistant", turn, call)
        ]
    words = (
        [item.tool_result.output] if item.HasField("tool_result") else [part.text for part in item.parts if part.text]
    )
    return [Part(text_key(item.item_id, text), ROLES[item.role], turn, text) for text in words]


def user_turn(items: Sequence[Item], senses: Senses, coming: Coming) -> list[Part]:
    """Return a user's turn: its pictures, one newline, its words, its sound (vita15/splicing.py lays it out alike)."""
    turn = items[0].item_id if items else coming.item_id or NEXT_TURN
    contents = [(item.item_id, part) for item in items for part in item.parts]
    pictures = [part.image for _, part in contents if part.HasField("image") and part.image.content]
    looks = [picture_part(picture, turn, senses) for picture in (*pictures, *coming.pictures)]
    words = [
        Part(text_key(item_id, text), "user", turn, text) for item_id, part in contents if (text := words_of(part))
    ]
    sounds = [
        Part(f"{item_id}/sound", "user", turn, senses.hear(item_id, part.audio) if part.audio.samples else Gone())
        for item_id, part in contents
        if part.HasField("audio") and not words_of(part)
    ]
    if coming.sound is not None:
        sounds.append(Part(f"{coming.item_id}/sound", "user", turn, coming.sound))
    newline = [Part("newline", "user", turn, AFTER_PICTURES)] if looks and (words or sounds) else []
    return looks + newline + words + sounds


def words_of(part: ContentPart) -> str:
    """Return a part's words: typed, or of a sound that is no longer kept."""
    if part.HasField("audio"):
        return "" if part.audio.samples else part.audio.transcript
    return part.text


def picture_part(picture: ImageFrame, turn: str, senses: Senses) -> Part:
    """Return a picture's part."""
    return Part(picture_key(picture), "user", turn, senses.see(picture))


def picture_key(picture: ImageFrame) -> str:
    """Return a picture's key, which is its content, so that it stays placed when it joins an item."""
    detail = {IMAGE_DETAIL_LOW: "low", IMAGE_DETAIL_HIGH: "high"}.get(picture.detail, "auto")
    return f"image/{detail}/{digest(picture.content)}"


def text_key(item_id: str, text: str) -> str:
    """Return the key of an item's words."""
    return f"{item_id}/text/{digest(text.encode())}"


def asked_states(entries: Iterable[Entry]) -> tuple[QueryState, ...]:
    """Return what the query at the end of the conversation may be judged as: only sound can be noise."""
    states = (QueryState.TEXT,)
    for entry in entries:
        if entry.item.role in (ROLE_ASSISTANT, ROLE_TOOL) and entry.item.status != ITEM_STATUS_IN_PROGRESS:
            states = (QueryState.TEXT,)
        elif any(part.WhichOneof("part") == "audio" for part in entry.item.parts):
            states = (QueryState.SPEECH, QueryState.NOISE)
    return states


def has_question(entries: Iterable[Entry]) -> bool:
    """Whether there is anything of a user's or a tool's to answer."""
    items = (entry.item for entry in entries)
    return any(item.role == ROLE_TOOL or (item.role == ROLE_USER and len(item.parts) > 0) for item in items)


def digest(content: bytes) -> str:
    """Return a short name for some content."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()
