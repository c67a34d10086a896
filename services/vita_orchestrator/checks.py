"""What may come in: sound, pictures and items, checked before anything is done with them."""

from __future__ import annotations

from vita.conversation.v1.item_pb2 import ROLE_ASSISTANT, ROLE_SYSTEM, ROLE_TOOL, ROLE_USER, ContentPart, Item
from vita.media.v1.media_pb2 import (
    AUDIO_ENCODING_PCM_S16LE,
    IMAGE_ENCODING_JPEG,
    IMAGE_ENCODING_PNG,
    AudioChunk,
    AudioClip,
    ImageFrame,
)
from vita_runtime.errors import BadInput, BadMedia

from vita_orchestrator.hearing import BYTES_PER_MS
from vita_orchestrator.policy import Policy
from vita_orchestrator.tools import check_call

INPUT_RATE_HZ = 16_000
MAX_ID_CHARS = 64
MAX_PARTS = 64


def check_sound(field: str, sound: AudioChunk | AudioClip, max_ms: int) -> None:
    """Raise BadInput unless the sound is 16 kHz PCM of whole samples, not empty and not too long."""
    if sound.encoding != AUDIO_ENCODING_PCM_S16LE:
        raise BadInput(f"{field}.encoding", "is not supported", value=sound.encoding, limit="PCM_S16LE")
    if sound.sample_rate_hz != INPUT_RATE_HZ:
        raise BadInput(
            f"{field}.sample_rate_hz", "is not supported", value=sound.sample_rate_hz, limit=str(INPUT_RATE_HZ)
        )
    if not sound.samples:
        raise BadMedia(f"{field}.samples", "is empty")
    if len(sound.samples) % 2:
        raise BadMedia(f"{field}.samples", "ends within a sample", value=len(sound.samples), limit="2 bytes a sample")
    if len(sound.samples) > max_ms * BYTES_PER_MS:
        raise BadInput(
            f"{field}.samples", "is too long", value=f"{len(sound.samples) // BYTES_PER_MS} ms", limit=f"{max_ms} ms"
        )


def check_picture(field: str, picture: ImageFrame, policy: Policy) -> None:
    """Raise BadInput unless it could be a picture of allowed size; whether it is one the vision encoder finds out."""
    if picture.encoding not in (IMAGE_ENCODING_JPEG, IMAGE_ENCODING_PNG):
        raise BadInput(f"{field}.encoding", "is not supported", value=picture.encoding, limit="JPEG or PNG")
    if not picture.content:
        raise BadMedia(f"{field}.content", "is empty")
    if len(picture.content) > policy.max_picture_bytes:
        raise BadInput(
            f"{field}.content", "is too large", value=len(picture.content), limit=f"{policy.max_picture_bytes} bytes"
        )


def check_item(item: Item, policy: Policy) -> None:
    """Raise BadInput unless the item may join a conversation."""
    if len(item.item_id) > MAX_ID_CHARS:
        raise BadInput("item.item_id", "is too long", value=len(item.item_id), limit=f"{MAX_ID_CHARS} characters")
    if item.HasField("tool_call") or item.HasField("tool_result"):
        role = ROLE_ASSISTANT if item.HasField("tool_call") else ROLE_TOOL
        if item.role != role or item.parts or (item.HasField("tool_call") and item.HasField("tool_result")):
            raise BadInput("item", "is a call of the assistant's or a result of a tool's, and nothing beside")
        check_call(item, policy)
        return
    if item.role not in (ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT):
        raise BadInput("item.role", "is not supported", value=item.role, limit="system, user or assistant")
    if not 0 < len(item.parts) <= MAX_PARTS:
        raise BadInput("item.parts", "must have parts", value=len(item.parts), limit=f"1 to {MAX_PARTS}")
    for index, part in enumerate(item.parts):
        _check_part(f"item.parts[{index}]", part, item, policy)
    if sum(part.HasField("audio") for part in item.parts) > 1:
        raise BadInput("item.parts", "may hold one sound", limit="1")


def _check_part(field: str, part: ContentPart, item: Item, policy: Policy) -> None:
    match part.WhichOneof("part"):
        case "text":
            size = len(part.text.encode())
            if size > policy.max_text_bytes:
                raise BadInput(f"{field}.text", "is too long", value=size, limit=f"{policy.max_text_bytes} bytes")
        case "image" if item.role == ROLE_USER:
            check_picture(f"{field}.image", part.image, policy)
        case "audio" if item.role == ROLE_USER:
            check_sound(f"{field}.audio", part.audio, policy.max_utterance_ms)
        case kind:
            raise BadInput(field, f"{kind or 'an empty part'} has no place in an item of this role")
