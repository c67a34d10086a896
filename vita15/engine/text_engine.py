"""The language model for many sessions at once: one thread, one ragged batch a step.

Every step carries the next token of each session that is answering, and one chunk of what some session still has to
read; readers take turns. Chunks never cross the borders of what was appended, so what a session computes depends on
its own requests only (up to the rounding of a matrix product with more rows). A session's slot survives between turns.
When slots run out, the session that has been idle longest loses its own, if it was idle long enough; it is told so at
its next operation and must be replayed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from vita15.checkpoint import tokenizer_path
from vita15.engine.attention import NAME, RotaryTable, run_layers
from vita15.engine.errors import AtCapacity, BadRequest, EngineError, NoSession
from vita15.engine.generation import Generation, Vocabulary
from vita15.engine.kv_cache import CacheShape, KvSlot, RaggedBatch, Span, positions
from vita15.engine.text_context import Segment, TextContext
from vita15.engine.text_protocol import (
    AppendCall,
    AppendEmbeddings,
    AppendText,
    Checkpoint,
    Generate,
    Kind,
    Operation,
    Reply,
    TextEvent,
    Truncate,
)
from vita15.engine.text_session import TextLimits, TextSession
from vita15.engine.text_writing import Writer
from vita15.engine.worker import Worker
from vita15.llm import load_llm
from vita15.tokenizer import Tokenizer

PREFILL_ROWS = 64  # read in one step: what an answering session waits for beside its own token
MAX_WAITING = 256  # operations of one session that wait for its answer to end


class TextEngine(Worker):
    """Runs the language model."""

    def __init__(
        self,
        model: Qwen2ForCausalLM,
        tokenizer: Tokenizer,
        limits: TextLimits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("text-engine")
        self._limits = limits or TextLimits()
        self._model = model.eval()
        self._model.config._attn_implementation = NAME  # pyright: ignore[reportPrivateUsage]  # transformers has no setter without checks of its own
        self._weight = model.lm_head.weight
        self._now = now
        self._writer = Writer(tokenizer)
        config = model.config
        self._vocabulary = Vocabulary.of(tokenizer, config.vocab_size)
        self._shape = CacheShape(
            config.num_hidden_layers,
            config.num_key_value_heads or config.num_attention_heads,
            config.head_dim,
            self._limits.max_context,
        )
        self._rotary = RotaryTable(model.model.rotary_emb, self._limits.max_context, like=self._weight)
        self._sessions: dict[str, TextSession] = {}
        self._readers: deque[TextSession] = deque()  # sessions with pending rows, whose turn it is first
        self._stepping: list[TextSession] = []  # in the batch of the step in progress

    @classmethod
    def load(cls, folder: Path, *, max_sessions: int, max_context: int = 0, device: str = "cpu") -> TextEngine:
        """Load a checkpoint; `max_context` 0: as many positions as the model has."""
        model = load_llm(folder, attention=NAME).to(device)  # pyright: ignore[reportArgumentType]  # wrongly typed there
        most = model.config.max_position_embeddings
        limits = TextLimits(max_sessions, min(max_context or most, most))
        engine = cls(model, Tokenizer.from_file(tokenizer_path(folder)), limits)
        engine.warm_up()
        return engine

    def warm_up(self) -> None:
        """Answer once before the first user asks: the first run of every kernel is slow."""
        self.open("", _ignore)
        self.ask("", AppendText("user", "warm " * PREFILL_ROWS), _ignore)
        self.ask("", Generate(max_tokens=4, states=("speech",)), _ignore)
        self.run_until_idle()
        self.end("")
        self.run_until_idle()

    def open(self, key: str, reply: Reply) -> None:
        """Open a session with an empty context; one that exists under this key is ended."""
        self.submit(partial(self._open, key, reply))

    def ask(self, key: str, operation: Operation, reply: Reply) -> None:
        """Do an operation in a session, after those before it."""
        self.submit(partial(self._ask, key, operation, reply))

    def cancel(self, key: str) -> None:
        """Stop the session's answer before the next step, if it is answering."""
        self.submit(partial(self._cancel, key))

    def end(self, key: str) -> None:
        """Release the session and all that it holds; operations that are not over end as cancelled or refused."""
        self.submit(partial(self._end, key))

    # -- tasks, on the engine's thread

    def _open(self, key: str, reply: Reply) -> None:
        self._end(key)
        try:
            slot = self._free_slot()
        except AtCapacity as error:
            reply(TextEvent(Kind.ERROR, text=str(error)))
            return
        self._sessions[key] = TextSession(key, TextContext(slot, self._writer.template), self._now())
        self.statistics.sessions = len(self._sessions)
        reply(TextEvent(Kind.OPENED, 0, slot.capacity))

    def _ask(self, key: str, operation: Operation, reply: Reply) -> None:
        session = self._sessions.get(key)
        if session is None:
            error: EngineError = NoSession("the session was never opened, has ended, or lost its slot")
            reply(TextEvent(Kind.ERROR, text=str(error)))
        elif session.generation is None:
            self._do(session, operation, reply)
        elif len(session.waiting) < MAX_WAITING:
            session.waiting.append((operation, reply))
        else:
            reply(TextEvent(Kind.ERROR, text=str(AtCapacity(f"{MAX_WAITING} operations are waiting"))))

    def _cancel(self, key: str) -> None:
        session = self._sessions.get(key)
        if session is not None and session.generation is not None:
            session.generation.end("cancelled")
            self._settle(session)

    def _end(self, key: str) -> None:
        session = self._sessions.pop(key, None)
        if session is None:
            return
        session.context.pending.clear()
        self.statistics.sessions = len(self._sessions)
        if session in self._readers:
            self._readers.remove(session)
        # Nobody may be listening any more, but every request must come to its end.
        if session.generation is not None and not session.generation.is_over:
            session.generation.end("cancelled")
        for _, reply in session.waiting:
            reply(TextEvent(Kind.ERROR, text=str(NoSession("the session has ended"))))

    def _free_slot(self) -> KvSlot:
        if len(self._sessions) >= self._limits.max_sessions:
            idle = [s for s in self._sessions.values() if s.generation is None and not s.waiting]
            oldest = min(idle, key=lambda s: s.used_at, default=None)
            if oldest is None or self._now() - oldest.used_at < self._limits.evict_after_s:
                raise AtCapacity(f"all {self._limits.max_sessions} sessions are in use")
            self._end(oldest.key)
        return KvSlot(self._shape, dtype=self._weight.dtype, device=str(self._weight.device))

    def _do(self, session: TextSession, operation: Operation, reply: Reply) -> None:
        session.used_at = self._now()
        context = session.context
        try:
            match operation:
                case AppendText():
                    self._writer.append_text(context, operation)
                    event = TextEvent(Kind.APPENDED, context.position)
                case AppendCall():
                    self._writer.append_call(context, operation)
                    event = TextEvent(Kind.APPENDED, context.position)
                case AppendEmbeddings():
                    context.append(operation.role, self._checked_rows(operation.rows))
                    event = TextEvent(Kind.APPENDED, context.position)
                case Truncate():
                    context.truncate(operation.position)
                    event = TextEvent(Kind.TRUNCATED, context.position)
                case Checkpoint():
                    event = TextEvent(Kind.CHECKPOINT, context.position)
                case Generate():
                    session.generation = Generation(operation, reply, context, self._vocabulary)
                    event = None
        except EngineError as error:
            event = TextEvent(Kind.ERROR, context.position, text=str(error))
        if event is not None:
            reply(event)
        self._note_reader(session)

    def _checked_rows(self, rows: Tensor) -> Tensor:
        width = self._weight.shape[1]
        if rows.ndim != 2 or rows.shape[1] != width:
            raise BadRequest(f"embeddings: shape {tuple(rows.shape)} is not (count, {width})")
        if not bool(torch.isfinite(rows).all()):
            raise BadRequest("embeddings: not all of them are numbers")
        return rows.to(self._weight)

    # -- steps

    def has_work(self) -> bool:
        return bool(self._readers)

    def step(self) -> int:
        taken = self._take()
        self._stepping = [session for session, _ in taken]
        spans = [Span(session.context.slot, len(segment)) for session, segment in taken]
        batch = RaggedBatch(spans)
        indices = torch.tensor(positions(spans), device=self._weight.device)
        rows = self._rows([segment for _, segment in taken])
        hidden = run_layers(self._model.model.layers, rows, self._rotary.rows(indices), batch)
        self._readers.extend(session for session, _ in taken if session.context.pending)
        self._answer(self._stepping, spans, hidden)
        return len(taken)

    def abandon(self, error: Exception) -> None:
        # Every session of the batch has lost the rows it was reading: it is told, now or at its next operation.
        for session in self._stepping:
            if session.generation is not None:
                session.generation.fail(f"ERROR_REASON_INTERNAL: {type(error).__name__} in a step")
            self._end(session.key)

    def _take(self) -> list[tuple[TextSession, Segment]]:
        """Take what this step reads: one token of each that needs only that, one chunk of the first that needs more."""
        taken: list[tuple[TextSession, Segment]] = []
        later: list[TextSession] = []
        has_chunk = False
        while self._readers:
            session = self._readers.popleft()
            is_chunk = len(session.context.pending[0]) > 1
            if is_chunk and has_chunk:
                later.append(session)
                continue
            has_chunk = has_chunk or is_chunk
            taken.append((session, session.context.take(PREFILL_ROWS)))
        self._readers.extend(later)
        return taken

    def _rows(self, segments: list[Segment]) -> Tensor:
        """Look tokens up: segments end to end, (1, rows, width)."""
        table = self._model.model.embed_tokens.weight
        parts: list[Tensor] = []
        tokens: list[int] = []
        for segment in segments:
            if isinstance(segment, Tensor):
                parts.extend([table[tokens]] if tokens else [])
                parts.append(segment)
                tokens = []
            else:
                tokens.extend(segment)
        parts.extend([table[tokens]] if tokens else [])
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[None]

    def _answer(self, sessions: list[TextSession], spans: list[Span], hidden: Tensor) -> None:
        ends: list[int] = []
        row = 0
        for span in spans:
            row += span.rows
            ends.append(row - 1)
        asking = [(s, end) for s, end in zip(sessions, ends, strict=True) if s.generation and not s.context.pending]
        if not asking:
            return
        last = self._model.model.norm(hidden[0, [end for _, end in asking]])
        logits = torch.nn.functional.linear(last, self._weight).float().cpu()  # (asking, vocab)
        self.statistics.items += len(asking)
        for (session, _), row_logits in zip(asking, logits, strict=True):
            assert session.generation is not None
            session.generation.advance(row_logits)
            self._settle(session)

    def _settle(self, session: TextSession) -> None:
        """After a change: start what waits for the end of the answer, and queue what there is to read."""
        session.used_at = self._now()
        if session.generation is not None and session.generation.is_over:
            session.generation = None
        while session.waiting and session.generation is None:
            self._do(session, *session.waiting.popleft())
        self._note_reader(session)

    def _note_reader(self, session: TextSession) -> None:
        is_reader = session in self._readers
        if session.context.pending and not is_reader:
            self._readers.append(session)
        elif is_reader and not session.context.pending:
            self._readers.remove(session)


def _ignore(event: TextEvent) -> None:
    """Answer to nobody."""
