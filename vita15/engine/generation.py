"""One answer in the making: what the query is judged to be, which token comes next, and when words are let out.

The state mark (docs/model.md, 3.3) is chosen among the states that the caller allows, from the three logits alone. It
stays in the context and never gets into the text. Calls of tools come out as data (calling.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vita15.engine.calling import BadCallError, Calling, CallMasks
from vita15.engine.errors import BadRequest
from vita15.engine.sampler import sample_temperature
from vita15.engine.text_context import TextContext
from vita15.engine.text_protocol import Generate, Kind, Reply, TextEvent
from vita15.tokenizer import Detokenizer, Tokenizer

STATES = ("speech", "text", "noise")  # the order of the scores on the wire
PIECE_TOKENS = 4  # messages a second, not bytes, are the ceiling (docs/components.md)
SIGN_TOKENS = 64  # of a call, which comes out when it is whole: whoever hears nothing for 10 s takes us for lost
PIECE_S = 0.03  # but words do not wait longer than this for company: a large model's steps take that long


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the choice of tokens must know of the tokenizer."""

    tokenizer: Tokenizer
    stops: frozenset[int]
    masks: CallMasks  # forbid the state marks and what is beyond the vocabulary everywhere

    @classmethod
    def of(cls, tokenizer: Tokenizer, row_count: int) -> Vocabulary:
        """Describe a tokenizer to a model with `row_count` output rows."""
        masked = torch.zeros(row_count)
        masked[list(tokenizer.state_ids.values())] = -math.inf
        masked[tokenizer.vocab_size :] = -math.inf
        stops = frozenset((tokenizer.im_end, tokenizer.im_start, tokenizer.end_of_text))
        return cls(tokenizer, stops, CallMasks.of(tokenizer, masked))


class Generation:
    """A running `Generate`."""

    def __init__(
        self,
        wish: Generate,
        reply: Reply,
        context: TextContext,
        vocabulary: Vocabulary,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        _check(wish)
        self._calling = Calling(wish.calls, vocabulary.tokenizer, vocabulary.masks)
        self._wish = wish
        self._reply = reply
        self._context = context
        self._vocabulary = vocabulary
        self._now = now
        self._detokenizer = Detokenizer(vocabulary.tokenizer)
        self._is_judged = not wish.states
        self._count = 0  # tokens of the text
        self._unsent = ""
        self._sent_count = 0
        self._sent_position = context.position  # where the context holds the words that are out
        self._sent_at = -math.inf
        self._before = context.position
        self.is_over = False
        context.open_turn("assistant")
        context.ask_again()
        self._clean = (context.position, 0)  # context position and token count at the last whole character

    def advance(self, logits: Tensor) -> None:
        """Take the next token from (vocab,) logits."""
        if not self._is_judged:
            self._judge(logits)
        else:
            self._choose(logits)

    def end(self, reason: str) -> None:
        """Let out the words that wait, and end."""
        self._flush(is_whole=True)
        self.is_over = True
        self._reply(TextEvent(Kind.END, self._context.position, self._count, reason))

    def fail(self, message: str) -> None:
        """End with an error."""
        self.is_over = True
        self._reply(TextEvent(Kind.ERROR, self._context.position, self._count, message))

    def _judge(self, logits: Tensor) -> None:
        ids = self._vocabulary.tokenizer.state_ids
        allowed = [state for state in STATES if state in self._wish.states]
        shares: list[float] = torch.softmax(logits[[ids[state] for state in allowed]].double(), dim=-1).tolist()
        scores = dict.fromkeys(STATES, 0.0) | dict(zip(allowed, shares, strict=True))
        is_noise = "noise" in allowed and (scores["noise"] >= self._wish.noise_threshold or allowed == ["noise"])
        state = "noise" if is_noise else max((s for s in allowed if s != "noise"), key=lambda s: scores[s])
        if is_noise:  # nothing was written: the opened turn goes, too
            self._context.truncate(self._before)
        else:
            self._context.add_token(ids[state])
        self._is_judged = True
        self._clean = (self._context.position, 0)
        probabilities = (scores["speech"], scores["text"], scores["noise"])
        self._reply(TextEvent(Kind.JUDGEMENT, self._context.position, 0, state, probabilities))
        if is_noise:
            self.end("noise")
        elif self._context.position >= self._context.capacity:
            self.end("length")

    def _choose(self, logits: Tensor) -> None:
        wish, calling = self._wish, self._calling
        token = calling.forced()
        if token is None:
            token = sample_temperature(logits + calling.mask, wish.temperature, wish.seed, self._count)
        if token in self._vocabulary.stops or calling.ends_before(token):
            self.end("bad_call" if calling.is_open else "stop")
            return
        self._context.add_token(token)
        self._count += 1
        if calling.takes(token):
            self._call(token)
        else:
            self._say(token)
        if self.is_over:
            return
        if self._count >= wish.max_tokens or self._context.position >= self._context.capacity:
            self.end("length")
        elif self._unsent and self._is_due():
            self._flush()

    def _say(self, token: int) -> None:
        self._unsent += self._detokenizer.push(token)
        if self._detokenizer.is_clean:
            self._clean = (self._context.position, self._count)

    def _call(self, token: int) -> None:
        """Take a token of a call: words before it go out first, less the space that sets it off."""
        self._flush()
        self._unsent = ""
        try:
            call = self._calling.push(token)
        except BadCallError:
            self.end("bad_call")
            return
        count = self._count - self._sent_count
        if call is None and count < SIGN_TOKENS:
            return
        self._sent_count = self._count
        if call is None:  # no words yet, but a sign of life
            self._reply(TextEvent(Kind.TEXT, self._sent_position, count))
            return
        self._reply(TextEvent(Kind.TOOL_CALL, self._context.position, count, call.as_json()))
        if self._calling.is_over:
            self.end("stop")

    def _is_due(self) -> bool:
        waiting = self._clean[1] - self._sent_count
        return waiting > 0 and (waiting >= PIECE_TOKENS or self._now() - self._sent_at >= PIECE_S)

    def _flush(self, *, is_whole: bool = False) -> None:
        """Let out what waits; where a call may follow, space at the end waits on, for it may belong to the call."""
        text = self._unsent if is_whole or not self._calling.is_allowed else self._unsent.rstrip()
        if not text:
            return
        position, count = self._clean
        self._reply(TextEvent(Kind.TEXT, position, count - self._sent_count, text))
        self._unsent = self._unsent[len(text) :]
        self._sent_count, self._sent_position = count, position
        self._sent_at = self._now()


def _check(wish: Generate) -> None:
    unknown = [state for state in wish.states if state not in STATES]
    if unknown:
        raise BadRequest(f"states: {unknown[0]!r} is none of {', '.join(STATES)}")
    if wish.max_tokens < 1:
        raise BadRequest(f"max_tokens: {wish.max_tokens} is less than 1")
    if not 0.0 <= wish.temperature <= 5.0:
        raise BadRequest(f"temperature: {wish.temperature} is outside 0 to 5")
