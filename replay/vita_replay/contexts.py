"""The language model's context as it was at each generation, from what passed on its streams.

A context is a list of units, each ending at a position: what was appended, and what the model wrote itself. `truncate`
drops the units behind a position. Of a stream that was open when the recording began, the units before are not known,
and of one that was opened since they are left out; a content's key is written such that the key of its tail is the
key's tail.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vita_components.tensors import Tensor

from vita_replay.calls import Call, Passed, integers_of, text_of

CALLS = ("max_calls", "tool_choice", "tool_name")  # sent only where tools may be called
SAMPLING = ("max_tokens", "temperature", "seed", "states", "noise_threshold")


@dataclass(frozen=True, slots=True)
class Unit:
    """Something in the context."""

    role: str
    kind: str  # "text", "call" or "rows"
    content: bytes
    end: int  # the context's length behind it, in tokens


@dataclass(slots=True)
class Generation:
    """One answer of the model's, and what it was an answer to."""

    call: int
    asked: Passed
    key: bytes
    unit_count: int
    position: int  # of the context when it was asked for
    replies: list[Passed] = field(default_factory=list[Passed])
    is_whole: bool = False  # it ended by itself
    failure: str = ""

    @staticmethod
    def scores(found: Mapping[str, Tensor]) -> tuple[float, ...]:
        """Return a judgement's probabilities."""
        raw = found["SCORES"].raw if "SCORES" in found else b""
        return struct.unpack(f"<{len(raw) // 4}f", raw)


@dataclass(slots=True)
class _Context:
    """One stream's context, brought forward message by message."""

    call: int
    position: int
    history_end: int = 0  # what was appended up to there is no part of the recorded turns
    units: list[Unit] = field(default_factory=list[Unit])
    asked: dict[int, Passed] = field(default_factory=dict[int, Passed])  # by sequence number
    generation: Generation | None = None
    lengths: list[tuple[bytes, int]] = field(default_factory=list[tuple[bytes, int]])  # of contents, in tokens

    def ask(self, request: Passed) -> Generation | None:
        """Take a request; return the generation that it begins, if any."""
        self.asked[int(request.parameter("sequence") or 0)] = request
        if request.parameter("op") != "generate":
            return None
        units = [unit for unit in self.units if unit.end > self.history_end]
        key = key_of(units, request)
        self.generation = Generation(self.call, request, key, len(_joined(units)), self.position)
        return self.generation

    def answer(self, reply: Passed) -> None:
        """Take a reply."""
        found = reply.outputs()
        sequence = integers_of(found.get("SEQUENCE"))
        request = self.asked.get(sequence[0]) if sequence else None
        if request is None:
            return  # to something from before the recording
        position = (*integers_of(found.get("POSITION")), self.position)[0]
        kind, words = text_of(found.get("KIND")), text_of(found.get("TEXT"))
        if request.parameter("op") == "generate":
            self._wrote(request, reply, kind, words, position)
        elif kind == "appended":
            self.units.append(appended(request, position))
            if position > self.history_end:
                units = [unit for unit in self.units if unit.end > self.history_end]
                self.lengths.append((content_of(units), position))
        elif kind == "truncated":
            kept_up_to = int(request.parameter("position") or 0)
            self.units = [unit for unit in self.units if unit.end <= kept_up_to]
        self.position = position

    def _wrote(self, request: Passed, reply: Passed, kind: str, words: str, position: int) -> None:
        generation = self.generation
        if generation is None or generation.asked is not request:
            return  # of a generation given up before
        if kind == "error":
            generation.failure = words.partition(":")[0]
            return
        generation.replies.append(reply)
        if kind == "text":
            self.units.append(Unit("assistant", "text", words.encode(), position))
        elif kind == "tool_call":
            self.units.append(Unit("assistant", "call", words.encode(), position))
        elif kind == "end":
            generation.is_whole = words != "cancelled"


def generations(calls: Sequence[Call], context_position: int) -> Iterator[Generation]:
    """Yield the generations on the language model's streams, in order within each."""
    for begun, _ in _passed(calls, context_position):
        yield from begun


def lengths(calls: Sequence[Call], context_position: int) -> list[tuple[bytes, int]]:
    """Return how long a context was whose content ended so, in tokens; the longest contents first."""
    found = [known for _, context in _passed(calls, context_position) for known in context.lengths]
    return sorted(found, key=lambda known: len(known[0]), reverse=True)


def _passed(calls: Sequence[Call], context_position: int) -> Iterator[tuple[list[Generation], _Context]]:
    for call in calls:
        is_rebuilt = call.opened_ns is not None  # history first, which a stream opened before holds unseen
        context = _Context(call.call, *((0, context_position) if is_rebuilt else (context_position, 0)))
        begun: list[Generation] = []
        requests = {request.number for request in call.requests}
        for _, passed in call.passed:
            if passed.number not in requests:
                context.answer(passed)
            elif generation := context.ask(passed):
                begun.append(generation)
        yield begun, context


def appended(request: Passed, position: int) -> Unit:
    """Return what a request appends to a context that then ends at `position`."""
    role = str(request.parameter("role"))
    rows = request.input("EMBEDDINGS")
    if rows is not None:
        return Unit(role, "rows", rows.raw, position)
    words = text_of(request.input("TEXT")).encode()
    if request.parameter("op") == "append_call":
        return Unit("assistant", "call", words, position)
    return Unit(role, "text", words + text_of(request.input("TOOLS")).encode(), position)


def _joined(units: Sequence[Unit]) -> list[tuple[str, bytes]]:
    """Join neighbours of one role and kind: how they were cut is timing."""
    joined: list[tuple[str, bytes]] = []
    for unit in units:
        name = f"{unit.role}/{unit.kind}"
        if joined and joined[-1][0] == name:
            joined[-1] = (name, joined[-1][1] + unit.content)
        elif unit.content:
            joined.append((name, unit.content))
    return joined


def content_of(units: Sequence[Unit]) -> bytes:
    """Write a context's content down; a tail of the content gives a tail of this.

    So the first unit is written without its name: its other half may lie before the recording.
    """
    content = b"".join(b"\0" + name.encode() + b"\0" + raw for name, raw in _joined(units))
    return content[content.find(b"\0", 1) + 1 :]


def key_of(units: Sequence[Unit], request: Passed) -> bytes:
    """Write a context's content and the sampling down; the same holds of this."""
    names = [*SAMPLING, *(name for name in CALLS if request.parameter(name))]
    sampling = " ".join(f"{name}={request.parameter(name)}" for name in names)
    return content_of(units) + b"\1" + sampling.encode()
