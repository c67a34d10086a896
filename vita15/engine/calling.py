"""The calls of tools within one answer: when one may begin, what is forced, and what is made of its tokens.

A call stands between two marks (tool_format.py), one token each. Its tokens are held until the second mark and come out
as data; what is no call then is a bad one. Behind a call the model may only write the next: words that would follow,
often a guess at the tool's answer, end the answer instead.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from vita15.engine.errors import BadRequest
from vita15.engine.text_protocol import CallChoice
from vita15.engine.text_writing import check_calls
from vita15.tokenizer import Tokenizer
from vita15.tool_format import CALL_END, CALL_START, NAME, ToolCall, forced_start, parse_call

MAX_CALL_TOKENS = 512  # as long as the longest answer that is allowed by default


class BadCallError(Exception):
    """The model wrote something between the marks that is no call."""


@dataclass(frozen=True, slots=True)
class CallMasks:
    """What is added to logits so that no mark stands where it must not: (vocab,) each, -inf at what is forbidden."""

    no_call: Tensor
    may_call: Tensor
    in_call: Tensor

    @classmethod
    def of(cls, tokenizer: Tokenizer, masked: Tensor) -> CallMasks:
        """Make them from `masked`, which is forbidden everywhere."""
        if tokenizer.call_ids is None:
            return cls(masked, masked, masked)
        start, end = (torch.tensor(mark) for mark in tokenizer.call_ids)
        may_call = masked.index_fill(0, end, -math.inf)
        return cls(may_call.index_fill(0, start, -math.inf), may_call, masked.index_fill(0, start, -math.inf))


class Calling:
    """The calls of one answer."""

    def __init__(self, choice: CallChoice, tokenizer: Tokenizer, masks: CallMasks) -> None:
        """Prepare them. Raises BadRequest: the choice cannot be."""
        if choice.max_count < 0 or (choice.is_required and choice.max_count == 0):
            raise BadRequest(f"max_calls: {choice.max_count} is too few")
        if choice.name and not (choice.is_required and NAME.fullmatch(choice.name)):
            raise BadRequest("tool_name: is no name of a tool, or no call is required")
        self._max_count, self._tokenizer, self._masks = choice.max_count, tokenizer, masks
        self._start, self._end = check_calls(tokenizer) if choice.max_count else (-1, -1)
        start = tokenizer.encode_answer(forced_start(choice.name)) if choice.is_required else []
        self._forced = deque(start)
        self._inside: list[int] | None = None  # tokens of the call that is being written
        self._count = 0

    @property
    def is_allowed(self) -> bool:
        """Whether the answer may hold calls at all."""
        return self._max_count > 0

    @property
    def is_open(self) -> bool:
        """Whether a call is being written."""
        return self._inside is not None

    @property
    def is_over(self) -> bool:
        """Whether the answer has made all the calls it may."""
        return self._count >= self._max_count > 0

    @property
    def mask(self) -> Tensor:
        """What to add to the logits of the next token."""
        if self.is_open:
            return self._masks.in_call
        return self._masks.may_call if self._count < self._max_count else self._masks.no_call

    def forced(self) -> int | None:
        """Return the next token where there is no choice."""
        return self._forced.popleft() if self._forced else None

    def ends_before(self, token: int) -> bool:
        """Whether the answer is over rather than go on with this token: it is a word behind a call."""
        if self.is_open or not self._count or token == self._start:
            return False
        return bool(self._tokenizer.token_bytes(token).strip())

    def takes(self, token: int) -> bool:
        """Whether a token belongs to a call, or stands between two; others are words of the answer."""
        return self.is_open or self._count > 0 or token == self._start

    def push(self, token: int) -> ToolCall | None:
        """Take a token; return the call that it completes.

        Raises:
            BadCallError: what it completes is no call, or grows too long.
        """
        if self._inside is None:
            self._inside = [] if token == self._start else None
            return None
        if token != self._end:
            self._inside.append(token)
            if len(self._inside) >= MAX_CALL_TOKENS:
                raise BadCallError
            return None
        call = parse_call(CALL_START + self._tokenizer.decode(self._inside) + CALL_END)
        self._inside = None
        self._count += 1
        if call is None:
            raise BadCallError
        return call
