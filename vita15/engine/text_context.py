"""One session's context: what is in its slot, what waits to get there, and who is speaking at which position.

Positions count tokens from 0: those in the slot, then those pending. Turn markers are written when the role changes;
a turn stays open until then, so that an answer can be cut anywhere and the conversation still goes on rightly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vita15.chat_template import ChatTemplate
from vita15.engine.errors import BadRequest, ContextFull
from vita15.engine.kv_cache import KvSlot

EMBEDDING = -1  # stands for a row that is no token

Segment = list[int] | Tensor  # tokens, or (n, width) rows


@dataclass(slots=True)
class Turn:
    """A turn's place in the context."""

    role: str
    start: int  # position of its first marker token (those that close the turn before included)
    content: int  # position after its markers
    is_speech: bool = False  # the last thing in it was embeddings: speech comes last in a turn (docs/model.md, 3.2)


class TextContext:
    """What one session's model has read and will read."""

    def __init__(self, slot: KvSlot, template: ChatTemplate) -> None:
        self.slot = slot
        self.pending: deque[Segment] = deque()
        self._template = template
        self._tokens: list[int] = []  # of the whole context; EMBEDDING where a row came from an encoder
        self._turns: list[Turn] = []

    @property
    def position(self) -> int:
        """Tokens in the context, those pending included."""
        return len(self._tokens)

    @property
    def tokens(self) -> Sequence[int]:
        """All tokens in order; EMBEDDING where a row came from an encoder."""
        return self._tokens

    @property
    def capacity(self) -> int:
        """Most tokens it can hold."""
        return self.slot.capacity

    @property
    def role(self) -> str:
        """Whose turn is open; empty at the start."""
        return self._turns[-1].role if self._turns else ""

    @property
    def is_after_speech(self) -> bool:
        """Whether the open turn ended in embeddings."""
        return bool(self._turns) and self._turns[-1].is_speech

    @property
    def has_words(self) -> bool:
        """Whether the open turn holds anything behind its markers."""
        return bool(self._turns) and self.position > self._turns[-1].content

    def append(self, role: str, segment: Segment, *, state_token: int | None = None) -> None:
        """Add a segment to the turn of `role`, opening it first where another's is open.

        Args:
            role: who says it.
            segment: what is said.
            state_token: written behind the markers if the turn is opened here.

        Raises:
            ContextFull: it does not fit; nothing was added.
            BadRequest: there is no such role.
        """
        markers = self._markers(role)
        if markers and state_token is not None:
            markers.append(state_token)
        self._check_room(len(markers) + len(segment))
        self._open(role, markers)
        self._add(segment)
        if role:
            self._turns[-1].is_speech = isinstance(segment, Tensor)

    def open_turn(self, role: str) -> None:
        """Open the turn of `role` if it is not open, with room left for at least one token.

        Raises:
            ContextFull: there is no room; nothing was added.
        """
        markers = self._markers(role)
        self._check_room(len(markers) + 1)
        self._open(role, markers)

    def add_token(self, token: int) -> None:
        """Add a token to the open turn; the caller has checked that there is room."""
        self._add([token])

    def truncate(self, position: int) -> None:
        """Forget everything from `position` on; inside turn markers, those markers too.

        Raises:
            BadRequest: the position lies outside the context; nothing was forgotten.
        """
        if not 0 <= position <= self.position:
            raise BadRequest(f"position: {position} is outside the context of {self.position}")
        while self._turns and position < self._turns[-1].content:
            position = min(position, self._turns.pop().start)
        self._drop_pending(position)
        self.slot.length = min(self.slot.length, position)
        del self._tokens[position:]

    def ask_again(self) -> None:
        """Make the last token pending again, so that the next step gives what follows it.

        Raises:
            BadRequest: the context does not end in a token.
        """
        if self.pending:
            return
        if not self._tokens or self._tokens[-1] == EMBEDDING:
            raise BadRequest("generate: there is nothing to answer")
        self.slot.length -= 1
        self.pending.append([self._tokens[-1]])

    def take(self, row_count: int) -> Segment:
        """Take up to `row_count` rows of the first pending segment; they are in the slot after the step."""
        segment = self.pending.popleft()
        if len(segment) > row_count:
            self.pending.appendleft(segment[row_count:])
        return segment[:row_count]

    def put_back(self, segment: Segment) -> None:
        """Undo `take`: the step failed."""
        self.pending.appendleft(segment)

    def _markers(self, role: str) -> list[int]:
        if role == self.role:
            return []
        try:
            opening = self._template.opening(role)
        except ValueError as error:
            raise BadRequest(f"role: {error}") from error
        return [*self._template.closing(), *opening] if self._turns else opening

    def _open(self, role: str, markers: Sequence[int]) -> None:
        if not markers:
            return
        start = self.position
        self._add(list(markers))
        self._turns.append(Turn(role, start, self.position))

    def _add(self, segment: Segment) -> None:
        if len(segment) == 0:
            return
        self.pending.append(segment)
        self._tokens.extend([EMBEDDING] * len(segment) if isinstance(segment, Tensor) else segment)

    def _check_room(self, row_count: int) -> None:
        if self.position + row_count > self.capacity:
            raise ContextFull(f"{row_count} tokens do not fit: {self.position} of {self.capacity} are taken")

    def _drop_pending(self, position: int) -> None:
        surplus = min(self.position - position, sum(len(segment) for segment in self.pending))
        while surplus > 0:
            segment = self.pending.pop()
            kept = segment[: max(0, len(segment) - surplus)]
            surplus -= len(segment) - len(kept)
            if len(kept):
                self.pending.append(kept)
