"""A chat completion as a conversation: the requests that open it, tell it everything, and ask for the answer."""

from __future__ import annotations

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import item_pb2
from vita.recording.v1.recording_pb2 import Form

from vita_gateway.auth import TENANT
from vita_gateway.chat.request import ChatRequest, Message, Part, ToolCall
from vita_gateway.chat.transcripts import TranscriptCache
from vita_gateway.media.decoding import MediaDecoder
from vita_gateway.openai_errors import ApiError
from vita_gateway.tools import call_limit, wire_tools

ROLES = {
    "system": item_pb2.ROLE_SYSTEM,
    "developer": item_pb2.ROLE_SYSTEM,
    "user": item_pb2.ROLE_USER,
    "assistant": item_pb2.ROLE_ASSISTANT,
}
INSTRUCTION_ROLES = ("system", "developer")


async def items_of(request: ChatRequest, media: MediaDecoder, transcripts: TranscriptCache) -> list[item_pb2.Item]:
    """Return the conversation's items, all media decoded; leading instructions are left to `configuration_of`.

    Raises:
        ApiError: a message has no content, or refers to sound that is no longer known.
        VitaError: media cannot be decoded or are beyond the limits.
    """
    items: list[item_pb2.Item] = []
    for index, message in enumerate(request.messages):
        field = f"messages[{index}]"
        parts = await _parts(field, message, media, transcripts)
        if message.role == "tool":
            items.append(_result(field, message, parts))
            continue
        calls = [_call(call) for call in message.tool_calls or []] if message.role == "assistant" else []
        if not parts and not calls:
            raise ApiError(f"{field}: the message is empty", param=f"{field}.content")
        if parts:
            items.append(item_pb2.Item(role=ROLES[message.role], parts=parts, status=item_pb2.ITEM_STATUS_COMPLETED))
        items.extend(calls)
    return items


def instructions_of(items: list[item_pb2.Item]) -> tuple[str | None, list[item_pb2.Item]]:
    """Split the leading system messages off: they are the configuration's instructions; None: there are none."""
    count = 0
    while count < len(items) and items[count].role == item_pb2.ROLE_SYSTEM:
        count += 1
    words = [part.text for item in items[:count] for part in item.parts]
    return ("\n".join(words) if words else None), items[count:]


def configuration_of(request: ChatRequest, instructions: str | None) -> wire.SessionConfiguration:
    """Return the configuration of a conversation that is asked once and answers once."""
    return wire.SessionConfiguration(
        instructions=instructions,
        modality=wire.MODALITY_AUDIO if request.is_spoken else wire.MODALITY_TEXT,
        turn_detection=wire.TurnDetection(is_enabled=False),
        max_output_tokens=request.output_token_limit,
        temperature=request.temperature,
        seed=request.seed,
        is_paced=False,
        tools=wire_tools([tool.function for tool in request.tools or []]),
        tool_choice=request.wire_tool_choice,
        max_tool_call_count=call_limit(request.parallel_tool_calls),
    )


def opening_of(configuration: wire.SessionConfiguration, recording: Form) -> wire.Open:
    """Return the request that opens the conversation."""
    return wire.Open(tenant_id=TENANT, configuration=configuration, is_ephemeral=True, recording=recording)


def requests_of(items: list[item_pb2.Item]) -> list[wire.ConverseRequest]:
    """Return the requests that follow the opening."""
    created = [wire.ConverseRequest(create_item=wire.CreateItem(item=item)) for item in items]
    return [*created, wire.ConverseRequest(create_response=wire.CreateResponse())]


def _call(call: ToolCall) -> item_pb2.Item:
    called = item_pb2.ToolCall(call_id=call.id, name=call.function.name, arguments=call.function.arguments)
    return item_pb2.Item(role=item_pb2.ROLE_ASSISTANT, tool_call=called, status=item_pb2.ITEM_STATUS_COMPLETED)


def _result(field: str, message: Message, parts: list[item_pb2.ContentPart]) -> item_pb2.Item:
    if message.tool_call_id is None:
        param = f"{field}.tool_call_id"
        raise ApiError(f"{param} is required", code="missing_required_parameter", param=param)
    output = "".join(part.text for part in parts)
    result = item_pb2.ToolResult(call_id=message.tool_call_id, output=output)
    return item_pb2.Item(role=item_pb2.ROLE_TOOL, tool_result=result, status=item_pb2.ITEM_STATUS_COMPLETED)


async def _parts(
    field: str, message: Message, media: MediaDecoder, transcripts: TranscriptCache
) -> list[item_pb2.ContentPart]:
    if message.audio is not None:
        words = transcripts.get(TENANT, message.audio.id)
        if words is None:
            param = f"{field}.audio.id"
            raise ApiError(f"{param}: no such audio is known here, or it has expired", param=param)
        return [item_pb2.ContentPart(text=words)]
    if isinstance(message.content, str):
        return [item_pb2.ContentPart(text=media.text(f"{field}.content", message.content))] if message.content else []
    parts = enumerate(message.content or [])
    return [await _part(f"{field}.content[{index}]", message, part, media) for index, part in parts]


async def _part(field: str, message: Message, part: Part, media: MediaDecoder) -> item_pb2.ContentPart:
    if part.type != "text" and message.role != "user":
        raise ApiError(f"{field}: only a user's message may hold {part.type}", param=f"{field}.type")
    if part.type == "image_url" and part.image_url is not None:
        frame = await media.picture(f"{field}.image_url", part.image_url.url, part.image_url.detail)
        return item_pb2.ContentPart(image=frame)
    if part.type == "input_audio" and part.input_audio is not None:
        sound = await media.recording(f"{field}.input_audio.data", part.input_audio.data)
        return item_pb2.ContentPart(audio=sound)
    if part.type == "text" and part.text is not None:
        return item_pb2.ContentPart(text=media.text(f"{field}.text", part.text))
    raise ApiError(f"{field}.{part.type} is required", code="missing_required_parameter", param=f"{field}.{part.type}")
