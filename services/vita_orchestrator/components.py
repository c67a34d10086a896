"""The five components as the orchestrator needs them. `vita_components` implements these over Triton; tests fake them.

Streams are async generators and sessions are async context managers: leaving the block releases what the component
holds, also on cancellation; a stream that may be left early is read under `contextlib.aclosing`. Embeddings are opaque
bytes to be passed on: nobody here looks inside.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """What a speech encoder makes of a sentence while it is being spoken."""

    finished: float  # probability that it is a finished one
    heard_ms: int  # how much of the utterance that speaks of


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Rows for the language model's context, as they came off the wire."""

    rows: bytes  # (count, width) float16, row-major
    count: int
    width: int
    tile_index: int = 0  # pictures: which tile, from 0
    tile_count: int = 1  # pictures: tiles of the whole picture, thumbnail included
    turn_end: TurnEnd | None = None  # sound, while it is heard; None: this speech encoder does not know


class QueryState(StrEnum):
    """What the model takes a query for (docs/model.md, 3.3)."""

    SPEECH = "speech"
    TEXT = "text"
    NOISE = "noise"


class FinishReason(StrEnum):
    """Why the language model stopped."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    NOISE = "noise"  # the query was judged noise and nothing was written
    BAD_CALL = "bad_call"  # it wrote a call of a tool that cannot be read


@dataclass(frozen=True, slots=True)
class Judgement:
    """The first event of a generation: the model's view of the query."""

    state: QueryState
    speech_probability: float
    text_probability: float
    noise_probability: float


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Words, and where the context stands once they are in it."""

    text: str  # whole characters only; may be empty
    token_count: int
    position: int  # context length, in tokens, that holds everything up to the end of `text`


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for."""

    name: str
    arguments: str  # a JSON object


@dataclass(frozen=True, slots=True)
class Called:
    """A call, behind all words of the answer; there may be several."""

    call: ToolCall
    token_count: int
    position: int  # context length, in tokens, that holds everything up to the end of the call


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """The last event of a generation."""

    reason: FinishReason
    position: int
    token_count: int


GenerationEvent = Judgement | TextPiece | Called | GenerationEnd


@dataclass(frozen=True, slots=True)
class CallChoice:
    """Whether an answer may call tools."""

    max_count: int = 0  # of calls, with which the answer ends; 0: it may not
    is_required: bool = False  # it is a call, without a word before it
    name: str = ""  # the tool that must be called first; empty: any


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the words are drawn."""

    max_tokens: int = 512
    temperature: float = 0.0  # 0: greedy
    seed: int = 0
    states: tuple[QueryState, ...] = (QueryState.SPEECH, QueryState.NOISE)  # states the query may be judged as
    noise_threshold: float = 0.5  # probability of NOISE, among `states`, from which the query is dropped
    calls: CallChoice = CallChoice()


class VisionEncoder(Protocol):
    """A picture to embeddings; stateless."""

    def encode(self, picture: bytes, *, max_tile_count: int) -> AsyncGenerator[Embeddings]:
        """Yield the picture's tiles in order, each as soon as it is ready.

        Raises:
            BadMedia: it is no picture, or larger than the component allows.
            ComponentUnavailable, ComponentDeadline: nothing more will come.
        """
        ...


class Utterance(Protocol):
    """One utterance being heard."""

    async def push(self, samples: bytes) -> None:
        """Hear more: PCM 16-bit little-endian, 16 kHz, mono, any length."""
        ...

    async def finish(self) -> None:
        """The utterance is over: what is held back for look-ahead comes out, then `embeddings` ends."""
        ...

    def embeddings(self) -> AsyncGenerator[Embeddings]:
        """Yield embeddings as they become final, 12.5 a second; call once."""
        ...


class SpeechEncoder(Protocol):
    """Speech to embeddings; holds state for one utterance."""

    def utterance(self) -> AbstractAsyncContextManager[Utterance]:
        """Open an utterance on some replica."""
        ...


class Context(Protocol):
    """One session's context in the language model. Positions count tokens from 0.

    Calls are in order and one at a time, but for `stop`, which may be called while `generate` runs. When the replica is
    lost every call raises ComponentUnavailable and the context must be rebuilt in a new one.
    """

    @property
    def position(self) -> int:
        """Tokens in the context."""
        ...

    @property
    def capacity(self) -> int:
        """Most tokens the context may hold, the answer included."""
        ...

    async def append_text(self, role: str, text: str, *, tools: str = "") -> int:
        """Add words said by `role` ("system", "user", "assistant", "tool"); return the new position.

        The engine writes the turn markers: a change of role closes the open turn and opens the next.
        Special tokens in `text` are plain characters. In the role "tool" each call is one tool's answer.

        Args:
            role: who says it.
            text: what is said.
            tools: offered behind the words of "system": a JSON list of `name`, `description`, `parameters` each.

        Raises:
            ContextFull: it does not fit; nothing was added.
            BadInput: the model was trained without tools, and some are offered; nothing was added.
        """
        ...

    async def append_call(self, call: ToolCall) -> int:
        """Add a call to the assistant's turn; return the new position. Raises likewise."""
        ...

    async def append_embeddings(self, role: str, embeddings: Embeddings) -> int:
        """Add rows from an encoder; return the new position. Raises ContextFull likewise."""
        ...

    def generate(self, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        """Answer: one Judgement, TextPieces, Called, one GenerationEnd. Leaving early stops the generation."""
        ...

    async def stop(self) -> None:
        """Stop a running generation; its iterator then ends with reason CANCELLED."""
        ...

    async def truncate(self, position: int) -> int:
        """Forget everything from `position` on; return the new position."""
        ...

    async def checkpoint(self) -> int:
        """Return a position that `truncate` can come back to exactly, open turn included."""
        ...


class Llm(Protocol):
    """Embeddings and text to text; holds one context a session."""

    def context(self, session_id: str) -> AbstractAsyncContextManager[Context]:
        """Open an empty context on the replica that the session hashes to."""
        ...


@dataclass(frozen=True, slots=True)
class Codes:
    """Codec tokens of a clause."""

    codes: tuple[int, ...]
    is_last: bool  # the clause is complete; `codes` may then be empty


class SpeechDecoder(Protocol):
    """A clause of text to codec tokens; stateless."""

    def speak(self, clause: str, *, seed: int) -> AsyncGenerator[Codes]:
        """Yield the clause's codec tokens (40 a second) in growing chunks; leaving early stops the work."""
        ...


class CodecDecoder(Protocol):
    """Windows of codec tokens to sound; stateless."""

    context_codes: int  # codes of context a window wants either side of what is kept

    async def decode(self, codes: tuple[int, ...], *, keep_from: int, keep_count: int) -> bytes:
        """Decode a window and keep the sound of `keep_count` codes from `keep_from` on.

        Returns:
            PCM 16-bit little-endian, 24 kHz, mono: keep_count × 600 samples.
        """
        ...


@dataclass(frozen=True, slots=True)
class Components:
    """All five, as a conversation uses them."""

    vision_encoder: VisionEncoder
    speech_encoder: SpeechEncoder
    llm: Llm
    speech_decoder: SpeechDecoder
    codec_decoder: CodecDecoder
