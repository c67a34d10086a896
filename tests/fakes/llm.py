"""A language model that answers from a script, with a context that can be looked into."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from vita_orchestrator.components import (
    Called,
    Context,
    Embeddings,
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    Judgement,
    QueryState,
    Sampling,
    TextPiece,
    ToolCall,
)
from vita_runtime.errors import BadInput, ComponentUnavailable, ContextFull, VitaError

from tests.fakes.faults import Bench, paced

MARKER = "<turn>"  # takes one position, as the real markers take some
STATE = "<state>"  # what the query was judged as; opens an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says to one query, and what it takes the query for."""

    text: str
    speech: float = 0.96
    written: float = 0.02
    noise: float = 0.02
    calls: tuple[ToolCall, ...] = ()  # behind the words, where tools may be called
    is_call_bad: bool = False  # the last of them cannot be read


@dataclass(frozen=True, slots=True)
class Token:
    """One position of a context."""

    role: str
    content: str | bytes  # a word with the space before it, a marker, or a row of an embedding


Script = Callable[[Sequence[Token]], Answer]


class Scripted:
    """Answers in order, one for each different query; the same context again (a replay) gets the same answer."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)
        self._given: dict[tuple[Token, ...], Answer] = {}

    def __call__(self, context: Sequence[Token]) -> Answer:
        key = tuple(context)
        if key not in self._given:
            self._given[key] = self._answers[min(len(self._given), len(self._answers) - 1)]
        return self._given[key]


def words(text: str) -> list[str]:
    """Words with the space before them; Chinese by character. Joined they are the text again."""
    return re.findall(r"[㐀-鿿]|\s*[^\s㐀-鿿]+|\s+", text)


class FakeContext:
    """One session's context: a list of tokens."""

    def __init__(self, llm: FakeLlm, session_id: str, call: int) -> None:
        self._llm, self._call = llm, call
        self.session_id = session_id
        self.tokens: list[Token] = []
        self.lost: VitaError | None = None  # set: the replica is gone
        self._stopped = asyncio.Event()

    @property
    def position(self) -> int:
        return len(self.tokens)

    @property
    def capacity(self) -> int:
        return self._llm.capacity

    def turns(self) -> list[tuple[str, str]]:
        """(role, words) of each turn; an embedding shows as "▪"."""
        turns: list[tuple[str, str]] = []
        for token in self.tokens:
            if token.content == MARKER:
                turns.append((token.role, ""))
            elif turns:
                said = token.content if isinstance(token.content, str) else "▪"
                turns[-1] = (turns[-1][0], turns[-1][1] + said)
        return turns

    async def append_text(self, role: str, text: str, *, tools: str = "") -> int:
        await self._enter("append_text")
        if tools and not self._llm.has_tools:
            raise BadInput("tools", "this model was trained without")
        return self._append(role, [*words(text), *([tools] if tools else [])])

    async def append_call(self, call: ToolCall) -> int:
        await self._enter("append_call")
        return self._append("assistant", [shown(call)])

    async def append_embeddings(self, role: str, embeddings: Embeddings) -> int:
        await self._enter("append_embeddings")
        size = embeddings.width * 2
        assert len(embeddings.rows) == embeddings.count * size
        return self._append(role, [embeddings.rows[i * size : (i + 1) * size] for i in range(embeddings.count)])

    async def truncate(self, position: int) -> int:
        await self._enter("truncate")
        assert 0 <= position <= self.position
        del self.tokens[position:]
        return self.position

    async def checkpoint(self) -> int:
        await self._enter("checkpoint")
        return self.position

    async def stop(self) -> None:
        self._alive()
        self._llm.bench.begin("llm", "stop")
        self._stopped.set()

    async def generate(self, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        call = await self._enter("generate")
        answer = self._llm.script(tuple(self.tokens))
        self._stopped.clear()

        async def produce(queue: asyncio.Queue[GenerationEvent | None]) -> None:
            await self._wait(self._llm.first_s)
            await self._write(answer, sampling, call, queue)

        events: AsyncGenerator[GenerationEvent] = paced(produce)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _write(
        self, answer: Answer, sampling: Sampling, call: int, events: asyncio.Queue[GenerationEvent | None]
    ) -> None:
        judgement = judge(answer, sampling)
        self._open("assistant")
        self.tokens.append(Token("assistant", STATE))
        events.put_nowait(judgement)
        if judgement.state is QueryState.NOISE:
            events.put_nowait(GenerationEnd(FinishReason.NOISE, self.position, 0))
            return
        said = words("" if sampling.calls.is_required else answer.text)
        piece: list[str] = []
        for count, word in enumerate(said[: sampling.max_tokens]):
            if self._stopped.is_set() or not await self._wait(self._llm.token_s):
                events.put_nowait(GenerationEnd(FinishReason.CANCELLED, self.position, count))
                return
            self._alive()
            await self._llm.bench.spoil("llm", "generate", call, count)
            self._llm.bench.did("llm", "generate", call)
            self.tokens.append(Token("assistant", word))
            piece.append(word)
            if len(piece) == self._llm.piece_tokens or count + 1 == min(len(said), sampling.max_tokens):
                events.put_nowait(TextPiece("".join(piece), len(piece), self.position))
                piece = []
        reason = FinishReason.LENGTH if len(said) > sampling.max_tokens else FinishReason.STOP
        count, before = min(len(said), sampling.max_tokens), self.position
        if reason is FinishReason.STOP and not await self._make_calls(answer, sampling, events):
            reason = FinishReason.BAD_CALL
        events.put_nowait(GenerationEnd(reason, self.position, count + self.position - before))

    async def _make_calls(
        self, answer: Answer, sampling: Sampling, events: asyncio.Queue[GenerationEvent | None]
    ) -> bool:
        """Write the calls; tell whether all can be read."""
        for number, call in enumerate(calls_of(answer, sampling), start=1):
            await self._wait(self._llm.token_s)
            self._alive()
            self.tokens.append(Token("assistant", shown(call)))
            if answer.is_call_bad and number == len(answer.calls):
                return False
            events.put_nowait(Called(call, 1, self.position))
        return True

    async def _enter(self, operation: str) -> int:
        call = self._llm.bench.begin("llm", operation)
        self._alive()
        if operation != "generate":
            await self._llm.bench.spoil("llm", operation, call)
        await asyncio.sleep(self._llm.append_s)
        self._alive()
        return call

    async def _wait(self, delay_s: float) -> bool:
        """Wait as long as a step takes; False: stopped meanwhile."""
        try:
            await asyncio.wait_for(self._stopped.wait(), delay_s)
        except TimeoutError:
            return True
        return False

    def _alive(self) -> None:
        if self.lost is not None:
            raise self.lost

    def _open(self, role: str) -> bool:
        """Open the turn of `role`; tell whether it was not open."""
        opened = [token.role for token in self.tokens if token.content == MARKER]
        if opened and opened[-1] == role:
            return False
        self.tokens.append(Token(role, MARKER))
        return True

    def _append(self, role: str, contents: Sequence[str | bytes]) -> int:
        if self.position + len(contents) + 1 > self.capacity:
            raise ContextFull("the context is full", limit=str(self.capacity))
        if self._open(role) and role == "assistant":
            self.tokens.append(Token(role, STATE))  # as the real model marks an answer that is replayed
        self.tokens += [Token(role, content) for content in contents]
        self._llm.bench.did("llm", "append", self._call)
        return self.position


def calls_of(answer: Answer, sampling: Sampling) -> tuple[ToolCall, ...]:
    """The calls that an answer makes: those of the script, as many as it may; one by force where it has to."""
    choice = sampling.calls
    forced = (ToolCall(choice.name or "tool", "{}"),) if choice.is_required else ()
    return (answer.calls or forced)[: choice.max_count]


def shown(call: ToolCall) -> str:
    """A call in a context: one token."""
    return f"<{call.name} {call.arguments}>"


def judge(answer: Answer, sampling: Sampling) -> Judgement:
    """The state among those allowed, its probabilities as the script says."""
    scores = {QueryState.SPEECH: answer.speech, QueryState.TEXT: answer.written, QueryState.NOISE: answer.noise}
    allowed = {state: scores[state] for state in sampling.states}
    share = sum(allowed.values()) or 1.0
    is_noise = allowed.get(QueryState.NOISE, 0.0) / share >= sampling.noise_threshold
    rest = [state for state in sampling.states if state is not QueryState.NOISE] or [QueryState.NOISE]
    best = QueryState.NOISE if is_noise else max(rest, key=lambda state: allowed[state])
    return Judgement(best, answer.speech, answer.written, answer.noise)


@dataclass(slots=True)
class FakeLlm:
    """Contexts; `contexts` keeps all that were ever opened, `live` those open now."""

    bench: Bench
    script: Script
    capacity: int = 4096
    piece_tokens: int = 1
    first_s: float = 0.03
    token_s: float = 0.02
    append_s: float = 0.001
    has_tools: bool = True  # False: trained without them
    contexts: list[FakeContext] = field(default_factory=list[FakeContext])
    live: list[FakeContext] = field(default_factory=list[FakeContext])

    @classmethod
    def answering(cls, bench: Bench, *answers: Answer | str, **settings: float) -> FakeLlm:
        """A model that gives these answers, one for each different query, the last one for ever."""
        script = Scripted([Answer(a) if isinstance(a, str) else a for a in answers])
        return cls(bench, script, **settings)  # type: ignore[arg-type]

    @asynccontextmanager
    async def context(self, session_id: str) -> AsyncGenerator[Context]:
        call = self.bench.begin("llm", "context")
        await self.bench.spoil("llm", "context", call)
        context = FakeContext(self, session_id, call)
        self.contexts.append(context)
        self.live.append(context)
        try:
            yield context
        finally:
            self.live.remove(context)

    def lose(self) -> None:
        """Lose the replica: every context open now fails from here on; new ones work."""
        for context in self.live:
            context.lost = ComponentUnavailable("the language model was lost", component="llm")
