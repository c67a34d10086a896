"""What can be asked of the text engine, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from torch import Tensor

from vita15.tool_format import Tool, ToolCall


class Kind(StrEnum):
    """What an event says; the wire carries these words."""

    OPENED = "opened"  # position 0, count: capacity of the context
    APPENDED = "appended"  # position after it
    JUDGEMENT = "judgement"  # text: the state, scores: the three probabilities
    TEXT = "text"  # text: whole characters, count: tokens, position: where the context holds all of it
    TOOL_CALL = "tool_call"  # text: the call as JSON, count: tokens, position: behind it
    END = "end"  # text: stop, length, cancelled, noise or bad_call; count: tokens in all
    CHECKPOINT = "checkpoint"
    TRUNCATED = "truncated"
    ERROR = "error"  # text: "<reason>: <message>"; the session goes on


@dataclass(frozen=True, slots=True)
class TextEvent:
    """One answer of the text engine."""

    kind: Kind
    position: int = 0
    count: int = 0
    text: str = ""
    scores: tuple[float, float, float] | None = None  # speech, text, noise

    @property
    def is_last(self) -> bool:
        """Whether the operation is over with this."""
        return self.kind not in (Kind.JUDGEMENT, Kind.TEXT, Kind.TOOL_CALL)


Reply = Callable[[TextEvent], None]  # called on the engine's thread: must not block


@dataclass(frozen=True, slots=True)
class AppendText:
    """Words said by a role ("tool": what a tool said); special tokens in them are plain characters."""

    role: str
    text: str
    # Mark that opens an assistant's turn when history is replayed; empty: speech after embeddings, text after words.
    state: str = ""
    tools: tuple[Tool, ...] = ()  # offered behind the words; of the role "system" only


@dataclass(frozen=True, slots=True)
class AppendCall:
    """A call of the assistant's, when history is replayed."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class AppendEmbeddings:
    """Rows from an encoder, in the turn of a role."""

    role: str
    rows: Tensor  # (n, width), any float type


@dataclass(frozen=True, slots=True)
class CallChoice:
    """Whether an answer may call tools."""

    max_count: int = 0  # of calls, with which the answer ends; 0: the mark that opens a call is never chosen
    is_required: bool = False  # the answer is a call, without a word before it
    name: str = ""  # the tool that must be called first; empty: any


@dataclass(frozen=True, slots=True)
class Generate:
    """Answer. Without `states` nothing is judged and the assistant's turn goes on where it stands."""

    max_tokens: int = 512
    temperature: float = 0.0  # 0: greedy
    seed: int = 0
    states: tuple[str, ...] = ("speech", "noise")
    noise_threshold: float = 0.5
    calls: CallChoice = field(default_factory=CallChoice)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where does the context stand?"""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Forget everything from `position` on."""

    position: int


Operation = AppendText | AppendCall | AppendEmbeddings | Generate | Checkpoint | Truncate
