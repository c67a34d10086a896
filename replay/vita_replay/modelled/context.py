"""A context of the modelled language model: how long it is, whose turn is open, and what is still to be read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vita_replay.behaviour import Refused

MARKER_TOKENS = 3  # of a turn's markers, closing the one before included
_WORD = re.compile(r"[\u4e00-\u9fff]|\s*[^\s\u4e00-\u9fff]+|\s+")


def tokens_of(text: str) -> list[str]:
    """Words with the space before them; Chinese by character. Joined they are the text again."""
    return _WORD.findall(text)


@dataclass(slots=True)
class Turn:
    """A turn's place."""

    role: str
    start: int  # position of its markers
    content: int  # position behind them, and behind the state mark


class Context:
    """What a session's model has read and will read."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.position = self.unread = 0
        self.turns: list[Turn] = []

    @property
    def role(self) -> str:
        """Whose turn is open; empty at the start."""
        return self.turns[-1].role if self.turns else ""

    @property
    def query_count(self) -> int:
        """Turns of the user and of tools."""
        return sum(turn.role in ("user", "tool") for turn in self.turns)

    def append(self, role: str, count: int) -> None:
        """Add tokens to the turn of `role`, opening it first where another's is open. Raises Refused: no room."""
        if role not in ("system", "user", "assistant", "tool"):
            raise Refused("BAD_INPUT", f"role: {role!r} is not known")
        markers = 0 if role == self.role else MARKER_TOKENS + (role == "assistant")  # an answer has a state mark
        if self.position + markers + count > self.capacity:
            problem = f"{markers + count} tokens do not fit: {self.position} of {self.capacity} are taken"
            raise Refused("CONTEXT_FULL", problem)
        if markers:
            self.turns.append(Turn(role, self.position, self.position + markers))
        self.position += markers + count
        self.unread += markers + count

    def truncate(self, position: int) -> None:
        """Forget everything from `position` on; inside turn markers, those markers too."""
        if not 0 <= position <= self.position:
            raise Refused("BAD_INPUT", f"position: {position} is outside the context of {self.position}")
        while self.turns and position < self.turns[-1].content:
            position = min(position, self.turns.pop().start)
        self.unread = max(0, self.unread - (self.position - position))
        self.position = position
