"""The language model's context as an image of the record: what should be in it, what is, and the steps between.

The conversation says what the context should hold, a list of parts. `ContextKeeper` remembers which parts are placed
and where each ends, keeps the longest prefix that still fits the list, forgets what is behind it, and appends the rest.
One rule thus serves new items, deleted and cut ones, changed instructions, a resumed session and a lost replica (whose
prefix is empty). What a generation wrote is placed by `keep`; what nobody keeps is forgotten at the next step.

Only a whole answer is kept as it was generated. Of one that was cut the record has words, and the tokens of those words
need not be the ones that were generated: pieces of text end elsewhere than words do. So its words are appended as a
replay would append them, and every replica goes on from the same context.

Overflow: when a part does not fit, or the answer would not, the oldest whole turns are forgotten until a quarter of the
context is free, system text excepted. If the last turn alone does not fit, ContextFull is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from vita_runtime.errors import BadMedia, ComponentDeadline, ContextFull, VitaError

from vita_orchestrator.components import Context, Embeddings, GenerationEvent, Llm, Sampling, TextPiece, ToolCall
from vita_orchestrator.measures import CUT_TURNS
from vita_orchestrator.patience import LOST

T = TypeVar("T")

STALL_S = 10.0  # an append or the next token takes longer than this only when the component hangs
FREE_AFTER_OVERFLOW = 0.25  # of the capacity: a rebuild must not be needed again at the next turn


class RowSource(Protocol):
    """Something that turns into embeddings."""

    @property
    def is_whole(self) -> bool:
        """Whether `rows` gives all there will ever be."""
        ...

    def rows(self, start: int) -> AsyncGenerator[Embeddings]:
        """Yield the rows from `start` on that there are by now."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to be in the context."""

    key: str  # equal keys in equal places are the same thing
    role: str
    turn: str  # forgotten together; empty: never forgotten
    content: str | ToolCall | RowSource
    tools: str = ""  # offered behind the words, as the language model's component takes them


@dataclass(frozen=True, slots=True)
class Placed:
    """One thing that is in the context."""

    key: str
    turn: str
    start: int  # positions
    end: int
    row_count: int = 0
    is_whole: bool = True


Plan = Callable[[], Sequence[Part]]


class ContextKeeper:
    """Keeps one session's context in step with its record. Steps take turns by a lock."""

    def __init__(self, llm: Llm, session_id: str) -> None:
        self._llm = llm
        self._session_id = session_id
        self._lock = asyncio.Lock()
        self._placed: list[Placed] = []
        self._forgotten: set[str] = set()  # turns
        self.refused_key = ""  # of the part that was bad media, last time something was
        self._is_dirty = False  # something unknown may lie behind what is placed
        self._is_answer_open = False  # an answer was begun, and neither kept nor discarded yet
        self._written = 0  # position of the last words of the answer that came from the context as it is now
        self._context: Context | None = None
        self._holding: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()

    @property
    def position(self) -> int:
        """Tokens placed."""
        return self._placed[-1].end if self._placed else 0

    @property
    def is_idle(self) -> bool:
        """Whether no step is being taken."""
        return not self._lock.locked()

    @property
    def forgotten_turns(self) -> frozenset[str]:
        """Turns that no longer fit."""
        return frozenset(self._forgotten)

    def row_count(self, prefix: str) -> int:
        """Embeddings placed under keys that hold `prefix`."""
        return sum(placed.row_count for placed in self._placed if prefix in placed.key)

    async def settle(self, plan: Plan) -> None:
        """Bring the context in step with the plan, as it is when our turn has come.

        Raises:
            ContextFull: the last turn alone does not fit.
            ComponentUnavailable, ComponentDeadline: a component was lost; the context is as far as it came, and a
                lost context will be rebuilt by the next call.
            BadMedia: a picture is none.
        """
        async with self._lock:
            if not self._is_answer_open:  # else what the model has written would be forgotten before it can be kept
                await self._settle(plan, reserve=0)

    async def generate(self, plan: Plan, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        """Settle, then let the model answer. Raises as `settle`, at any event. `keep` or `discard` must follow."""
        self._is_answer_open = True
        self._written = 0
        async with self._lock:
            await self._settle(plan, reserve=sampling.max_tokens)
            context = await self._open()
            self._is_dirty = True
            events = context.generate(sampling)
            async with aclosing(events):
                while True:
                    event = await self._ask(_next_event(events))
                    if event is None:
                        return
                    if isinstance(event, TextPiece):
                        self._written = event.position
                    yield event

    def keep(self, key: str, turn: str) -> None:
        """The answer is whole, and all it wrote belongs to the conversation, as the part `key`."""
        self._is_answer_open = False
        if self._context is not None and self.position < self._written:
            self._placed.append(Placed(key, turn, self.position, self._written))

    def discard(self) -> None:
        """The answer is over; if it was not kept, its tokens do not belong to the conversation."""
        self._is_answer_open = False

    async def close(self) -> None:
        """Release the context."""
        self._leave.set()
        if self._holding is not None:
            if self._context is None:
                self._holding.cancel()  # it is still being opened
            await asyncio.gather(self._holding, return_exceptions=True)

    async def _settle(self, plan: Plan, reserve: int) -> None:
        while True:
            parts = [part for part in plan() if part.turn not in self._forgotten]
            try:
                context = await self._open()
                await self._reconcile(context, parts)
                if self.position + min(reserve, context.capacity // 4) <= context.capacity:
                    return
                raise ContextFull("there is no room left for an answer", limit=str(context.capacity))
            except ContextFull:
                self._forget_oldest(parts)

    async def _reconcile(self, context: Context, parts: Sequence[Part]) -> None:
        common = self._common(parts)
        if common < len(self._placed) or self._is_dirty:
            del self._placed[common:]
            await self._ask(context.truncate(self.position))
            self._is_dirty = False
        if common and not self._placed[-1].is_whole:
            await self._append(context, parts[common - 1], self._placed.pop())
        for part in parts[common:]:
            await self._append(context, part, Placed(part.key, part.turn, self.position, self.position))

    def _common(self, parts: Sequence[Part]) -> int:
        """Return how many placed parts are still right; only the last of them may be unfinished."""
        common = 0
        for placed, part in zip(self._placed, parts, strict=False):
            if placed.key != part.key:
                break
            self._placed[common] = replace(placed, turn=part.turn)  # what was coming has become an item
            common += 1
            if not placed.is_whole:
                break
        return common

    async def _append(self, context: Context, part: Part, placed: Placed) -> None:
        """Append (the rest of) a part; what got there before a failure stays placed, unfinished."""
        if isinstance(part.content, str | ToolCall):
            self._is_dirty = True
            end = await self._ask(_appended(context, part.role, part.content, part.tools))
            self._is_dirty = False
            self._placed.append(Placed(part.key, part.turn, placed.start, end))
            return
        source, end, row_count = part.content, placed.end, placed.row_count
        self._placed.append(Placed(part.key, part.turn, placed.start, end, row_count, is_whole=False))
        try:
            async with aclosing(source.rows(row_count)) as rows:
                async for embeddings in rows:
                    self._is_dirty = True
                    end = await self._ask(context.append_embeddings(part.role, embeddings))
                    self._is_dirty = False
                    row_count += embeddings.count
                    self._placed[-1] = Placed(part.key, part.turn, placed.start, end, row_count, is_whole=False)
        except BadMedia:
            self.refused_key = part.key
            raise
        self._placed[-1] = Placed(part.key, part.turn, placed.start, end, row_count, source.is_whole)

    def _forget_oldest(self, parts: Sequence[Part]) -> None:
        """Forget whole turns, oldest first, until enough is free by what is known of their sizes."""
        turns = list(dict.fromkeys(part.turn for part in parts if part.turn))
        if len(turns) < 2:
            raise ContextFull("the last turn alone does not fit the context", limit=str(self._capacity()))
        sizes = {turn: 0 for turn in turns}
        for placed in self._placed:
            sizes[placed.turn] = sizes.get(placed.turn, 0) + placed.end - placed.start
        used = sum(sizes.values())
        for turn in turns[:-1]:
            self._forgotten.add(turn)
            CUT_TURNS.inc()
            used -= sizes[turn]
            if used <= self._capacity() * (1 - FREE_AFTER_OVERFLOW):
                return

    def _capacity(self) -> int:
        return self._context.capacity if self._context is not None else 0

    async def _open(self) -> Context:
        """Return the context, opening an empty one if there is none."""
        if self._context is None:
            self._placed.clear()
            self._is_dirty = False
            self._leave = asyncio.Event()
            opened: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
            self._holding = asyncio.create_task(self._hold(opened, self._leave))
            self._context = await self._ask(opened)
        return self._context

    async def _hold(self, opened: asyncio.Future[Context], leave: asyncio.Event) -> None:
        """Enter and leave the context in one task, as context managers want it, whoever asks for it meanwhile."""
        try:
            async with self._llm.context(self._session_id) as context:
                if opened.done():
                    return
                opened.set_result(context)
                await leave.wait()
        except VitaError as error:
            if not opened.done():
                opened.set_exception(error)

    async def _ask(self, operation: Awaitable[T]) -> T:
        """Do one operation of the context; a lost or silent replica loses the context."""
        try:
            async with asyncio.timeout(STALL_S):
                return await operation
        except TimeoutError:
            error: VitaError = ComponentDeadline("llm: no answer in time", component="llm", limit=f"{STALL_S:g} s")
        except LOST as lost:
            error = lost
        await self._drop()
        raise error

    async def _drop(self) -> None:
        holding, self._holding, self._context = self._holding, None, None
        self._placed.clear()
        if holding is not None:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)


async def _appended(context: Context, role: str, content: str | ToolCall, tools: str) -> int:
    if isinstance(content, ToolCall):
        return await context.append_call(content)
    return await context.append_text(role, content, tools=tools)


async def _next_event(events: AsyncGenerator[GenerationEvent]) -> GenerationEvent | None:
    return await anext(events, None)
