"""What a Realtime client may say: one class an event, GA names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from vita_gateway.openai_errors import ApiError
from vita_gateway.parsing import JsonObject, parse_model, parse_object
from vita_gateway.realtime.configuration import Tool, ToolChoice

ItemId = Annotated[str, Field(min_length=1, max_length=64)]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class ClientEvent(BaseModel):
    """Base of all."""

    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(ClientEvent):
    """`session.update`; the session stays JSON: which keys it holds matters."""

    session: dict[str, object]


class AudioAppend(ClientEvent):
    """`input_audio_buffer.append`; `video_frames` is an addition: camera frames taken with the sound."""

    audio: str = ""
    video_frames: Annotated[list[str], Field(max_length=2)] | None = None


class AudioCommit(ClientEvent):
    """`input_audio_buffer.commit`."""


class AudioClear(ClientEvent):
    """`input_audio_buffer.clear`."""


class Content(BaseModel):
    """One part of an item; the field that `type` names counts."""

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio", "text"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None
    image_url: str | None = None
    detail: str = "auto"


class NewItem(BaseModel):
    """An item that a client adds."""

    type: Literal["message", "function_call", "function_call_output"]
    id: ItemId | None = None
    role: Literal["user", "assistant", "system"] | None = None
    content: list[Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class ItemCreate(ClientEvent):
    """`conversation.item.create`."""

    item: NewItem
    previous_item_id: ItemId | None = None


class ItemRetrieve(ClientEvent):
    """`conversation.item.retrieve`."""

    item_id: ItemId


class ItemDelete(ClientEvent):
    """`conversation.item.delete`."""

    item_id: ItemId


class ItemTruncate(ClientEvent):
    """`conversation.item.truncate`."""

    item_id: ItemId
    content_index: int = 0
    audio_end_ms: Annotated[int, Field(ge=0, lt=2**31)]


class ResponseOptions(BaseModel):
    """Settings for one answer."""

    conversation: Literal["auto", "none"] = "auto"
    instructions: str | None = None
    output_modalities: list[Literal["text", "audio"]] | None = None
    modalities: list[Literal["text", "audio"]] | None = None  # the beta API's name
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata | None = None
    input: list[object] | None = None


class ResponseCreate(ClientEvent):
    """`response.create`."""

    response: ResponseOptions | None = None


class ResponseCancel(ClientEvent):
    """`response.cancel`."""

    response_id: str | None = None


EVENTS: dict[str, type[ClientEvent]] = {
    "session.update": SessionUpdate,
    "input_audio_buffer.append": AudioAppend,
    "input_audio_buffer.commit": AudioCommit,
    "input_audio_buffer.clear": AudioClear,
    "conversation.item.create": ItemCreate,
    "conversation.item.retrieve": ItemRetrieve,
    "conversation.item.delete": ItemDelete,
    "conversation.item.truncate": ItemTruncate,
    "response.create": ResponseCreate,
    "response.cancel": ResponseCancel,
}


def parse_event(message: JsonObject) -> ClientEvent:
    """Read one event.

    Raises:
        ApiError: no type, an unknown one, or fields that do not fit.
    """
    kind = message.get("type")
    if not isinstance(kind, str):
        raise ApiError("the event has no type", code="missing_required_parameter", param="type")
    if kind not in EVENTS:
        known = ", ".join(EVENTS)
        raise ApiError(f"the event's type is not known here; known are {known}", code="unknown_event", param="type")
    return parse_model(EVENTS[kind], message)


def parse_message(content: bytes | str) -> JsonObject:
    """Read one WebSocket message as a JSON object; ApiError when it is not one."""
    return parse_object(content)


def event_id_of(message: JsonObject) -> str | None:
    """Return the client's own name for an event, for the error that it causes."""
    event_id = message.get("event_id")
    return event_id if isinstance(event_id, str) and len(event_id) <= 512 else None
