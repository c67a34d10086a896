"""A Realtime session's configuration: what the client sees of it, and what the conversation is told.

A `session.update` changes only the keys it holds. Typed parts (turn detection, formats) are replaced whole and then
filled with defaults: merged key by key, a switch from server_vad to semantic_vad would keep a threshold that it does
not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from vita.conversation.v1 import conversation_service_pb2 as wire

from vita_gateway.media.live_audio import AudioFormat
from vita_gateway.parsing import parse_model
from vita_gateway.tools import (
    Function,
    FunctionName,
    ToolUse,
    call_limit,
    read_choice,
    read_tool,
    wire_choice,
    wire_tools,
)

MAX_OUTPUT_TOKENS = 4096  # the API's own bound
# What the conversation takes; the API allows a little more, and stock clients should not fail for it.
THRESHOLDS = (0.05, 0.95)
MAX_PREFIX_MS = 2000
VOICE = "vita"  # the model has one voice; other names are taken for it, since stock clients send OpenAI's
# Silence that ends a turn behind a finished sentence, and behind an unfinished one. More than the 1.5 s that are
# evaluated may cost the turn: a question with 3 s of silence behind it the tiny model takes for noise.
EAGERNESS_SILENCE_MS = {"low": (1000, 1500), "medium": (500, 1500), "auto": (500, 1500), "high": (300, 900)}


class Configuration(BaseModel):
    """Base: unknown keys are passed over, since clients send what OpenAI adds."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Format(Configuration):
    """How sound is written."""

    type: AudioFormat = AudioFormat.PCM
    rate: Literal[24000] | None = None

    def as_json(self) -> dict[str, object]:
        """Return the format as clients write it: only PCM has a rate."""
        return {"type": self.type.value, **({"rate": 24_000} if self.type is AudioFormat.PCM else {})}


class ServerVad(Configuration):
    """Silence ends the turn."""

    type: Literal["server_vad"]
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    silence_duration_ms: Annotated[int, Field(ge=100, le=10_000)] = 500
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Configuration):
    """Silence ends the turn, and more of it where the sentence does not sound finished."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class Input(Configuration):
    """The client's side."""

    format: Format = Format()
    turn_detection: TurnDetection | None = ServerVad(type="server_vad")


class Output(Configuration):
    """Our side; voice and speed are taken and have no effect."""

    format: Format = Format()


class Audio(Configuration):
    """Both sides."""

    input: Input = Input()
    output: Output = Output()


class OfFunction(Configuration):
    """A function's type, the first field to be checked: other tools (mcp) have other fields."""

    type: Literal["function"] = "function"


class Tool(Function, OfFunction):
    """A tool."""


class NamedTool(FunctionName, OfFunction):
    """The tool that must be called."""


ToolChoice = ToolUse | NamedTool


class SessionConfiguration(Configuration):
    """The session as a whole. `temperature` and `seed` are additions of ours: GA has dropped them."""

    type: Literal["realtime"] = "realtime"
    output_modalities: Annotated[list[Literal["audio", "text"]], Field(min_length=1)] = ["audio"]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=MAX_OUTPUT_TOKENS)] | Literal["inf"] = "inf"
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    audio: Audio = Audio()

    @property
    def is_spoken(self) -> bool:
        """Whether answers have sound."""
        return "audio" in self.output_modalities


def updated(current: SessionConfiguration, patch: Mapping[str, object]) -> SessionConfiguration:
    """Return `current` with the keys of `patch` in place.

    Raises:
        ApiError: a value is wrong; nothing has changed.
    """
    whole: dict[str, object] = current.model_dump(mode="json")
    changes = {key: value for key, value in patch.items() if key != "audio"}
    if "modalities" in changes:  # the beta API's name, with both modalities for speech
        changes.setdefault("output_modalities", changes.pop("modalities"))
    if "tools" in changes and changes["tools"] is None:
        changes["tools"] = []
    whole.update(changes)
    whole["audio"] = _merged_audio(current.audio.model_dump(mode="json"), patch.get("audio"))
    return parse_model(SessionConfiguration, whole)


def adopted(session: SessionConfiguration, effective: wire.SessionConfiguration) -> SessionConfiguration:
    """Return the session with what an opened conversation has that no client has changed yet."""
    changes: dict[str, object] = {}
    if effective.HasField("instructions"):
        changes["instructions"] = effective.instructions
    if effective.HasField("tools"):
        changes["tools"] = [Tool(**read_tool(tool)) for tool in effective.tools.tools]
    if effective.HasField("tool_choice"):
        use, name = read_choice(effective.tool_choice)
        changes["tool_choice"] = NamedTool(name=name) if name else use
    return session.model_copy(update=changes)


def conversation_configuration(
    session: SessionConfiguration, longest_answer: int | None = None
) -> wire.SessionConfiguration:
    """Return what the conversation is told; `longest_answer` is what "inf" means to it, where that is known."""
    limit = longest_answer if session.max_output_tokens == "inf" else session.max_output_tokens
    return wire.SessionConfiguration(
        instructions=session.instructions,
        modality=wire.MODALITY_AUDIO if session.is_spoken else wire.MODALITY_TEXT,
        turn_detection=_turn_detection(session.audio.input.turn_detection),
        max_output_tokens=limit,
        temperature=session.temperature,
        seed=session.seed,
        tools=None if session.tools is None else wire_tools(session.tools),
        tool_choice=None if session.tool_choice is None else tool_choice(session.tool_choice),
        max_tool_call_count=call_limit(session.parallel_tool_calls),
    )


def tool_choice(choice: ToolChoice) -> wire.ToolChoice:
    """Return the choice as the conversation takes it."""
    return wire_choice("required", choice.name) if isinstance(choice, NamedTool) else wire_choice(choice)


def session_object(session: SessionConfiguration, session_id: str, model: str, expires_at_s: int) -> dict[str, object]:
    """Return the session as it is in effect, whole: clients read defaults from it."""
    turn_detection = session.audio.input.turn_detection
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "expires_at": expires_at_s,
        "output_modalities": ["audio"] if session.is_spoken else ["text"],
        "instructions": session.instructions or "",
        "tools": [tool.model_dump(mode="json", exclude_none=True) for tool in session.tools or []],
        "tool_choice": choice.model_dump()
        if isinstance(choice := session.tool_choice, NamedTool)
        else choice or "auto",
        "max_output_tokens": session.max_output_tokens,
        "tracing": None,
        "truncation": "auto",
        "include": None,
        "audio": {
            "input": {
                "format": session.audio.input.format.as_json(),
                "noise_reduction": None,
                "transcription": None,
                "turn_detection": turn_detection.model_dump(mode="json") if turn_detection else None,
            },
            "output": {"format": session.audio.output.format.as_json(), "voice": VOICE, "speed": 1.0},
        },
    }


def _merged_audio(current: dict[str, object], patch: object) -> object:
    if not isinstance(patch, dict):
        return current if patch is None else patch
    merged = dict(current)
    for side, changes in cast("dict[str, object]", patch).items():
        now = current.get(side)
        if isinstance(now, dict) and isinstance(changes, dict):
            merged[side] = {**cast("dict[str, object]", now), **cast("dict[str, object]", changes)}
        else:
            merged[side] = changes
    return merged


def _turn_detection(chosen: ServerVad | SemanticVad | None) -> wire.TurnDetection:
    if chosen is None:
        return wire.TurnDetection(is_enabled=False)
    is_by_meaning = isinstance(chosen, SemanticVad)
    silences_ms = EAGERNESS_SILENCE_MS[chosen.eagerness] if is_by_meaning else (chosen.silence_duration_ms, 0)
    defaults = ServerVad(type="server_vad") if is_by_meaning else chosen
    return wire.TurnDetection(
        is_enabled=True,
        threshold=min(max(defaults.threshold, THRESHOLDS[0]), THRESHOLDS[1]),
        prefix_padding_ms=min(defaults.prefix_padding_ms, MAX_PREFIX_MS),
        silence_duration_ms=silences_ms[0],
        unfinished_silence_duration_ms=silences_ms[1],
        is_response_created=chosen.create_response,
        is_response_interrupted=chosen.interrupt_response,
    )
