"""What can be asked of the text engine, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor


class Kind(StrEnum):
    """What an event says; the wire carries these words."""

    OPENED = "opened"  # position 0, count: capacity of the context
    APPENDED = "appended"  # position after it
    JUDGEMENT = "judgement"  # text: the state, scores: the three probabilities
    TEXT = "text"  # text: whole characters, count: tokens, position: where the context holds all of it
    END = "end"  # text: stop, length, cancelled or noise; count: tokens in all
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
        return self.kind not in (Kind.JUDGEMENT, Kind.TEXT)


Reply = Callable[[TextEvent], None]  # called on the engine's thread: must not block


@dataclass(frozen=True, slots=True)
class AppendText:
    """Words said by a role; special tokens in them are plain characters."""

    role: str
    text: str
    # Mark that opens an assistant's turn when history is replayed; empty: speech after embeddings, text after words.
    state: str = ""


@dataclass(frozen=True, slots=True)
class AppendEmbeddings:
    """Rows from an encoder, in the turn of a role."""

    role: str
    rows: Tensor  # (n, width), any float type


@dataclass(frozen=True, slots=True)
class Generate:
    """Answer. Without `states` nothing is judged and the assistant's turn goes on where it stands."""

    max_tokens: int = 512
    temperature: float = 0.0  # 0: greedy
    seed: int = 0
    states: tuple[str, ...] = ("speech", "noise")
    noise_threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where does the context stand?"""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Forget everything from `position` on."""

    position: int


Operation = AppendText | AppendEmbeddings | Generate | Checkpoint | Truncate
