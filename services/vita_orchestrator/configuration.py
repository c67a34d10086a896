"""A session's configuration: defaults, changes and their limits."""

from __future__ import annotations

from collections.abc import Callable

from vita.conversation.v1.conversation_service_pb2 import (
    MODALITY_AUDIO,
    MODALITY_TEXT,
    MODALITY_UNSPECIFIED,
    SessionConfiguration,
    TurnDetection,
)
from vita_runtime.errors import BadInput

from vita_orchestrator.endpointing import EndpointingLimits
from vita_orchestrator.policy import Policy
from vita_orchestrator.prompt import SYSTEM_PROMPT
from vita_orchestrator.tools import check_choice, check_tools

MAX_PREFIX_MS = 2000  # as much microphone audio as is kept from before an onset
MAX_TILE_COUNT = 12  # thumbnail not counted, as the model was trained


def default_configuration(policy: Policy) -> SessionConfiguration:
    """Return the configuration of a session whose client says nothing. The seed stays unset: drawn for each answer."""
    limits = EndpointingLimits()
    return SessionConfiguration(
        instructions=SYSTEM_PROMPT,
        modality=MODALITY_AUDIO,
        turn_detection=TurnDetection(
            is_enabled=True,
            threshold=limits.threshold,
            prefix_padding_ms=limits.prefix_ms,
            silence_duration_ms=limits.silence_ms,
            unfinished_silence_duration_ms=0,  # a client that says nothing gets an end it can foretell (docs/api.md)
            is_response_created=True,
            is_response_interrupted=True,
        ),
        max_output_tokens=policy.max_output_tokens,
        temperature=0.0,
        max_tile_count=policy.tile_count,
        is_paced=True,
    )


def changed(current: SessionConfiguration, change: SessionConfiguration, policy: Policy) -> SessionConfiguration:
    """Return the configuration with the change's set fields taken over.

    Raises:
        BadInput: a value is outside its limits; nothing changed.
    """
    check(change, policy)
    result = SessionConfiguration()
    result.CopyFrom(current)
    result.MergeFrom(change)
    if change.HasField("tools"):  # merged, lists are joined
        result.tools.CopyFrom(change.tools)
    if change.HasField("tool_choice"):
        result.tool_choice.CopyFrom(change.tool_choice)
    check_choice(result)
    if change.HasField("turn_detection"):
        # `is_enabled` has no presence of its own, so merging would never switch it off.
        result.turn_detection.is_enabled = change.turn_detection.is_enabled
    return result


def check(change: SessionConfiguration, policy: Policy) -> None:
    """Raise BadInput for the first field outside its limits."""
    if change.modality not in (MODALITY_UNSPECIFIED, MODALITY_TEXT, MODALITY_AUDIO):
        raise BadInput("configuration.modality", "is not known", value=change.modality)
    if len(change.instructions.encode()) > policy.max_text_bytes:
        raise BadInput(
            "configuration.instructions",
            "is too long",
            value=len(change.instructions.encode()),
            limit=f"{policy.max_text_bytes} bytes",
        )
    check_tools(change.tools, policy)
    turns = change.turn_detection
    _within(change, "max_output_tokens", lambda: change.max_output_tokens, 1, 32_768)
    _within(change, "max_tool_call_count", lambda: change.max_tool_call_count, 0, policy.max_tool_call_count)
    _within(change, "temperature", lambda: change.temperature, 0.0, 2.0)
    _within(change, "max_tile_count", lambda: change.max_tile_count, 1, MAX_TILE_COUNT)
    _within(turns, "threshold", lambda: turns.threshold, 0.05, 0.95)
    _within(turns, "prefix_padding_ms", lambda: turns.prefix_padding_ms, 0, MAX_PREFIX_MS)
    _within(turns, "silence_duration_ms", lambda: turns.silence_duration_ms, 100, 10_000)
    _within(turns, "unfinished_silence_duration_ms", lambda: turns.unfinished_silence_duration_ms, 0, 10_000)


def endpointing_limits(turns: TurnDetection) -> EndpointingLimits:
    """Return the part of the configuration that endpointing follows."""
    return EndpointingLimits(
        turns.threshold, turns.prefix_padding_ms, turns.silence_duration_ms, turns.unfinished_silence_duration_ms
    )


def _within(
    message: SessionConfiguration | TurnDetection, field: str, read: Callable[[], float], low: float, high: float
) -> None:
    if not any(descriptor.name == field for descriptor, _ in message.ListFields()):
        return
    value = read()
    if not low <= value <= high:  # also refuses NaN
        raise BadInput(f"configuration.{field}", "is out of range", value=value, limit=f"{low:g} to {high:g}")
