"""What is wrong with a server, on cue: it hangs, is slow, or answers garbage; `kserve.ComponentServer.kill` ends it.

A fault is switched on and off by a call. `when_asked` and `when_answering` make that call at a phase of the
conversation, which the server knows by what it is asked: the third piece of sound, the first words of an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vita_replay.pace import Pace

Action = Callable[[], None]
ANYTHING = ("FP16", "INT16")  # embeddings and sound: every number may be right


class Garbage(StrEnum):
    """What is wrong with a reply."""

    SHAPE = "shape"  # a tensor says that it has more elements than it brings
    TYPE = "type"  # a tensor is of a type that nobody expects there
    CUT = "cut"  # a tensor ends in the middle of an element
    MISSING = "missing"  # the first tensor is not there
    EMPTY = "empty"  # no tensor is there
    BARE = "bare"  # tensors are declared, and none brings its content
    TEXT = "text"  # words are not UTF-8
    KIND = "kind"  # words are whole, and say what does not exist; numbers are beyond all limits


@dataclass(slots=True)
class _Trigger:
    op: str | None  # None: any request's reply
    left: int
    act: Action


class Faults:
    """The faults of one server; without any, a message costs one look at `are_on`."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._going = asyncio.Event()
        self._going.set()
        self._delay_s = 0.0
        self._garbage: Garbage | None = None
        self._asked: list[_Trigger] = []
        self._answering: list[_Trigger] = []
        self.are_on = False

    @property
    def is_hung(self) -> bool:
        """Nothing is taken and nothing is answered, pings neither; connections stay open."""
        return not self._going.is_set()

    def hang(self) -> None:
        """Stop answering."""
        self._going.clear()
        self._look()

    def go_on(self) -> None:
        """Hang no more; what came in meanwhile is answered now."""
        self._going.set()
        self._look()

    def slow(self, factor: float, delay_s: float = 0.0) -> None:
        """Take `factor` times as long for everything and `delay_s` more a reply; pings are as fast as ever."""
        self._pace.slow, self._delay_s = factor, delay_s
        self._look()

    def garble(self, garbage: Garbage) -> None:
        """Spoil every reply, but for pings."""
        self._garbage = garbage
        self._look()

    def heal(self) -> None:
        """Be well again. What is set for later stays."""
        self._pace.slow, self._delay_s, self._garbage = 1.0, 0.0, None
        self.go_on()

    def when_asked(self, op: str, act: Action, *, count: int = 1) -> None:
        """Act when the `count`-th request from now with this `op` has come, before it is taken; "" names any."""
        self._asked.append(_Trigger(op or None, count, act))
        self._look()

    def when_answering(self, act: Action, *, count: int = 1) -> None:
        """Act before the `count`-th reply from now goes out."""
        self._answering.append(_Trigger(None, count, act))
        self._look()

    async def before_request(self, op: str) -> None:
        """A request has come: hold it for as long as nothing goes on here."""
        self._count(self._asked, op)
        await self.wait()

    async def before_reply(self, reply: Any) -> None:  # noqa: ANN401  # KServe's messages have no types
        """A reply goes out: hold it, and spoil it."""
        self._count(self._answering, "")
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if self._garbage is not None and not reply.error_message:
            spoil(reply.infer_response, self._garbage)
        await self.wait()

    async def wait(self) -> None:
        """Wait for as long as nothing goes on here."""
        await self._going.wait()

    def _count(self, triggers: list[_Trigger], op: str) -> None:
        for trigger in list(triggers):
            trigger.left -= trigger.op in (None, op)
            if trigger.left == 0:
                triggers.remove(trigger)
                trigger.act()
        self._look()

    def _look(self) -> None:
        self.are_on = bool(self.is_hung or self._delay_s or self._garbage is not None or self._asked or self._answering)


def spoil(response: Any, garbage: Garbage) -> None:  # noqa: ANN401  # likewise
    """Make garbage of a response. Where a kind does not apply to any tensor, all are cut."""
    outputs, contents = response.outputs, response.raw_output_contents
    match garbage:
        case Garbage.SHAPE:
            for output in outputs:
                output.shape[0] += 7
        case Garbage.TYPE:
            for output in outputs:
                output.datatype = "FP64"
        case Garbage.MISSING:
            del outputs[:1], contents[:1]
        case Garbage.EMPTY:
            del outputs[:], contents[:]
        case Garbage.BARE:
            del contents[:]
        case Garbage.CUT:
            contents[:] = [content[:-1] for content in contents]
        case _:
            _spoil_words(outputs, contents, b"\xff\xfe\xc0" if garbage is Garbage.TEXT else b"nonsense")


def _spoil_words(outputs: Any, contents: Any, said: bytes) -> None:  # noqa: ANN401
    """Replace words; where there are none, numbers by such as are beyond all limits, or else cut."""
    has_words = any(output.datatype == "BYTES" for output in outputs)
    for index, output in enumerate(outputs):
        if output.datatype == "BYTES":
            contents[index] = len(said).to_bytes(4, "little") + said
        elif not has_words:
            contents[index] = b"\x7f" * max(0, len(contents[index]) - (output.datatype in ANYTHING))
