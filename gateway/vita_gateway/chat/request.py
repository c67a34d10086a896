"""`POST /v1/chat/completions` as asked: what is understood, and what is refused rather than ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from vita.conversation.v1 import conversation_service_pb2 as wire

from vita_gateway.openai_errors import ApiError
from vita_gateway.tools import Function, FunctionName, ToolUse, wire_choice

MAX_OUTPUT_TOKENS = 4096


class ImageUrl(BaseModel):
    """A picture, in a data: URL."""

    url: str
    detail: str = "auto"


class InputAudio(BaseModel):
    """A recorded question."""

    data: str
    format: Literal["wav", "mp3"] = "wav"


class Part(BaseModel):
    """One part of a message; the field named by `type` is the one that counts."""

    type: Literal["text", "image_url", "input_audio"]
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None


class AudioReference(BaseModel):
    """An earlier answer that was spoken."""

    id: str


class CalledFunction(BaseModel):
    """What was called."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A call of an earlier answer's."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """One message of the conversation so far; of a tool it is the result of a call."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    audio: AudioReference | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class ChatTool(BaseModel):
    """A tool; other types than functions are refused."""

    type: Literal["function"]
    function: Function


class NamedTool(BaseModel):
    """The function that must be called."""

    type: Literal["function"]
    function: FunctionName


class AudioChoice(BaseModel):
    """How the answer's sound is wanted; the model has one voice, so any name is taken for it."""

    format: Literal["wav", "pcm16", "flac", "mp3", "opus"]
    voice: str | dict[str, object] = "vita"


class StreamOptions(BaseModel):
    """What a stream also tells."""

    include_usage: bool = False


class ResponseFormat(BaseModel):
    """Only plain text can be answered."""

    type: Literal["text"] = "text"


class ChatRequest(BaseModel):
    """The request's body. Fields that only tune (top_p, penalties, user, metadata, store …) are passed over."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    modalities: list[Literal["text", "audio"]] = ["text"]
    audio: AudioChoice | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: int | None = 1
    tools: list[ChatTool] | None = None
    tool_choice: ToolUse | NamedTool = "auto"
    parallel_tool_calls: bool | None = None
    functions: list[object] | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    response_format: ResponseFormat | None = None

    @property
    def is_spoken(self) -> bool:
        """Whether sound is wanted."""
        return "audio" in self.modalities

    @property
    def output_token_limit(self) -> int | None:
        """The longest answer asked for, as far as we go."""
        asked = self.max_completion_tokens or self.max_tokens
        return None if asked is None else min(asked, MAX_OUTPUT_TOKENS)

    @property
    def wire_tool_choice(self) -> wire.ToolChoice:
        """Whether tools are called, as the conversation takes it."""
        choice = self.tool_choice
        return wire_choice("required", choice.function.name) if isinstance(choice, NamedTool) else wire_choice(choice)

    def check(self, max_messages: int) -> None:
        """Refuse what would change the answer's meaning if it were ignored.

        Raises:
            ApiError: 400, naming the parameter.
        """
        asked_for = {
            "n": self.n not in (None, 1),
            "functions": bool(self.functions),
            "stop": bool(self.stop),
            "logprobs": bool(self.logprobs),
        }
        for param, is_asked in asked_for.items():
            if is_asked:
                raise ApiError(f"{param} is not supported", code="unsupported_parameter", param=param)
        if len(self.messages) > max_messages:
            raise ApiError(f"{len(self.messages)} messages are too many (limit {max_messages})", param="messages")
        if self.is_spoken and self.audio is None:
            raise ApiError(
                "audio is required when modalities hold audio", code="missing_required_parameter", param="audio"
            )
        if self.is_spoken and self.stream and self.audio and self.audio.format != "pcm16":
            raise ApiError("a streamed answer's audio must be pcm16 (24 kHz)", param="audio.format")
