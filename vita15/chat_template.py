"""ChatML, the turn markers that the language model was trained with (docs/model.md, 3.2).

A conversation is `<|im_start|>role\\n` + content + `<|im_end|>\\n`, turn after turn; the model answers after an opened
assistant turn and says `<|im_end|>` itself. Markers are tokenised apart from the content, so that streamed and whole
conversations give the same tokens. What a tool says is a turn of its own that reads as a user's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from vita15.tokenizer import Tokenizer

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)
NAMES = {role: role for role in ROLES} | {"tool": "user"}  # as they stand in the text


class ChatTemplate:
    """Turn markers as token ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._newline = tokenizer.encode("\n")
        self._openings = {role: [tokenizer.im_start, *tokenizer.encode(f"{name}\n")] for role, name in NAMES.items()}

    def opening(self, role: str) -> list[int]:
        """Ids that open a turn of `role`.

        Raises:
            ValueError: no such role.
        """
        if role not in self._openings:
            raise ValueError(f"role {role!r} is none of {', '.join(ROLES)}")
        return list(self._openings[role])

    def closing(self, *, is_end_said: bool = False) -> list[int]:
        """Ids that close a turn; `is_end_said`: the model has said `<|im_end|>` itself, and only the newline misses."""
        return list(self._newline) if is_end_said else [self._tokenizer.im_end, *self._newline]

    def turn(self, role: str, text: str) -> list[int]:
        """Ids of a whole closed turn of plain text."""
        return [*self.opening(role), *self._tokenizer.encode(text), *self.closing()]

    def prompt(self, turns: Iterable[tuple[str, str]]) -> list[int]:
        """Ids of closed turns (role, text), and the opening of the assistant's answer."""
        ids = [token for role, text in turns for token in self.turn(role, text)]
        return ids + self.opening("assistant")
