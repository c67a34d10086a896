"""Conversation items as the Realtime API writes them, and as the wire does.

Absent is not null: strict clients drop an item that holds `"status": null`, so what is not there is left out.
"""

from __future__ import annotations

import base64

from vita.conversation.v1 import item_pb2
from vita.media.v1 import media_pb2

from vita_gateway.media.decoding import MediaDecoder
from vita_gateway.media.live_audio import AudioFormat
from vita_gateway.openai_errors import ApiError
from vita_gateway.realtime.client_events import Content, NewItem

ROLES = {"user": item_pb2.ROLE_USER, "assistant": item_pb2.ROLE_ASSISTANT, "system": item_pb2.ROLE_SYSTEM}
ROLE_NAMES = {role: name for name, role in ROLES.items()}
STATUS_NAMES = {
    item_pb2.ITEM_STATUS_UNSPECIFIED: "completed",
    item_pb2.ITEM_STATUS_IN_PROGRESS: "in_progress",
    item_pb2.ITEM_STATUS_COMPLETED: "completed",
    item_pb2.ITEM_STATUS_INCOMPLETE: "incomplete",
}
# Clients' WebSocket libraries stop at 1 MiB a message by default; base64 and the rest of the event need room in it.
LARGEST_MEDIA_BYTES = 700_000


async def item_from(new: NewItem, media: MediaDecoder, input_format: AudioFormat) -> item_pb2.Item:
    """Return the wire's item, media decoded.

    Raises:
        ApiError: a field is missing, or the content does not fit the role.
        VitaError: media cannot be decoded or are beyond the limits.
    """
    item = item_pb2.Item(item_id=new.id or "", status=item_pb2.ITEM_STATUS_COMPLETED)
    if new.type == "function_call":
        item.role = item_pb2.ROLE_ASSISTANT
        item.tool_call.CopyFrom(_tool_call(new))
        return item
    if new.type == "function_call_output":
        item.role = item_pb2.ROLE_TOOL
        call_id, output = _required("item.call_id", new.call_id), _required("item.output", new.output)
        item.tool_result.CopyFrom(item_pb2.ToolResult(call_id=call_id, output=media.text("item.output", output)))
        return item
    item.role = ROLES[_required("item.role", new.role)]
    if not new.content:
        raise ApiError("item.content: the item is empty", code="missing_required_parameter", param="item.content")
    for index, content in enumerate(new.content):
        item.parts.append(await _part(f"item.content[{index}]", content, item.role, media, input_format))
    return item


def item_json(item: item_pb2.Item, *, is_media_shown: bool = False) -> dict[str, object]:
    """Return the API's item."""
    base: dict[str, object] = {"id": item.item_id, "object": "realtime.item", "status": STATUS_NAMES[item.status]}
    if item.HasField("tool_call"):
        call = item.tool_call
        named = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        return {**base, **named}
    if item.HasField("tool_result"):
        result = item.tool_result
        return {**base, "type": "function_call_output", "call_id": result.call_id, "output": result.output}
    role = ROLE_NAMES.get(item.role, "system")
    parts = [_content_json(part, item.role, is_media_shown) for part in item.parts]
    return {**base, "type": "message", "role": role, "content": parts}


def spoken_item_json(item_id: str) -> dict[str, object]:
    """Return the item of an utterance that was just committed."""
    content = [{"type": "input_audio"}]
    base = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed"}
    return {**base, "role": "user", "content": content}


def answer_item_json(item_id: str, status: str, text: str | None, *, is_spoken: bool) -> dict[str, object]:
    """Return an answer's item; `text` None: it has no content yet."""
    content: list[dict[str, object]] = []
    if text is not None:
        content = [{"type": "output_audio", "transcript": text} if is_spoken else {"type": "output_text", "text": text}]
    base = {"id": item_id, "object": "realtime.item", "type": "message", "status": status}
    return {**base, "role": "assistant", "content": content}


def _tool_call(new: NewItem) -> item_pb2.ToolCall:
    return item_pb2.ToolCall(
        call_id=_required("item.call_id", new.call_id),
        name=_required("item.name", new.name),
        arguments=_required("item.arguments", new.arguments),
    )


async def _part(
    field: str, content: Content, role: item_pb2.Role, media: MediaDecoder, input_format: AudioFormat
) -> item_pb2.ContentPart:
    is_user = role == item_pb2.ROLE_USER
    if content.type == "input_image" and is_user:
        url = _required(f"{field}.image_url", content.image_url)
        return item_pb2.ContentPart(image=await media.picture(f"{field}.image_url", url, content.detail))
    if content.type == "input_audio" and is_user:
        sound = await media.clip(f"{field}.audio", _required(f"{field}.audio", content.audio), input_format)
        sound.transcript = media.text(f"{field}.transcript", content.transcript or "")
        return item_pb2.ContentPart(audio=sound)
    is_answer = content.type in ("output_text", "output_audio")
    is_media = content.type in ("input_image", "input_audio")
    # "text" fits any role: the beta API's name for an assistant's words, which old histories hold.
    if content.type != "text" and (is_media or is_answer != (role == item_pb2.ROLE_ASSISTANT)):
        name = ROLE_NAMES[role]
        raise ApiError(f"{field}.type: {content.type} does not fit the role {name}", param=f"{field}.type")
    key = "transcript" if content.type == "output_audio" else "text"
    words = _required(f"{field}.{key}", content.transcript if key == "transcript" else content.text)
    return item_pb2.ContentPart(text=media.text(f"{field}.{key}", words))


def _content_json(part: item_pb2.ContentPart, role: item_pb2.Role, is_media_shown: bool) -> dict[str, object]:
    is_answer = role == item_pb2.ROLE_ASSISTANT
    if part.HasField("image"):
        shown = is_media_shown and 0 < len(part.image.content) <= LARGEST_MEDIA_BYTES
        return {"type": "input_image", **({"image_url": _data_url(part.image)} if shown else {})}
    if part.HasField("audio"):
        words = {"transcript": part.audio.transcript} if part.audio.transcript else {}
        return {"type": "output_audio" if is_answer else "input_audio", **words}
    return {"type": "output_text" if is_answer else "input_text", "text": part.text}


def _data_url(frame: media_pb2.ImageFrame) -> str:
    kind = "jpeg" if frame.encoding == media_pb2.IMAGE_ENCODING_JPEG else "png"
    return f"data:image/{kind};base64,{base64.b64encode(frame.content).decode()}"


def _required(field: str, value: str | None) -> str:
    if value is None:
        raise ApiError(f"{field} is required", code="missing_required_parameter", param=field)
    return value
