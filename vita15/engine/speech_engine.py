"""The speech decoder for many clauses at once: one thread, one ragged batch a step.

A step carries the next code of every clause in progress, and the NAR pass of at most one that starts: its text block
sees itself whole (docs/model.md, 4.3), in one piece, since a part of it would be another computation. Codes leave in
growing chunks: the first sound waits for few of them, later ones cost fewer messages.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vita15.checkpoint import load_into, load_manifest, tokenizer_path
from vita15.config import SpeechDecoderConfig
from vita15.engine.attention import NAME, RotaryTable, run_layers
from vita15.engine.errors import AtCapacity, BadRequest, EngineError
from vita15.engine.kv_cache import CacheShape, KvSlot, RaggedBatch, Span, positions
from vita15.engine.sampler import sample_top_k, uniform
from vita15.engine.worker import Worker
from vita15.errors import CheckpointError
from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer

MAX_WAITING = 256  # clauses that wait for a place
MIN_CODES = 40  # a text that leaves room for fewer (1 s) is refused


@dataclass(frozen=True, slots=True)
class CodesEvent:
    """Codes of a clause, in order; the last event of a clause has `is_last`, perhaps with an error."""

    codes: tuple[int, ...]
    is_last: bool = False
    error: str = ""  # "<reason>: <message>"


Reply = Callable[[CodesEvent], None]  # called on the engine's thread: must not block


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """How much is spoken at once, and how it leaves."""

    max_clauses: int = 32
    chunk_codes: tuple[int, ...] = (10, 20, 40)  # sizes of the first chunks; the last one repeats


@dataclass(slots=True, eq=False)
class Clause:
    """A clause being spoken; the caller makes it, and keeps it to cancel it."""

    text: str
    seed: int
    reply: Reply
    slot: KvSlot | None = None
    last: int = 0  # the code that goes in next
    step: int = 0  # codes so far
    max_codes: int = 0
    chunk: list[int] = field(default_factory=list[int])
    chunk_count: int = 0
    is_over: bool = False

    def emit(self, *, is_last: bool = False, error: str = "") -> None:
        """Let the collected codes out."""
        codes, self.chunk = tuple(self.chunk), []
        self.chunk_count += 1
        self.is_over = is_last
        self.reply(CodesEvent(codes, is_last, error))


class SpeechEngine(Worker):
    """Runs the speech decoder."""

    def __init__(self, decoder: SpeechDecoder, tokenizer: Tokenizer, limits: SpeechLimits | None = None) -> None:
        super().__init__("speech-engine")
        self._limits = limits or SpeechLimits()
        self._decoder = decoder.eval()
        decoder.llama._attn_implementation = NAME  # pyright: ignore[reportPrivateUsage]  # no public setter
        self._tokenizer = tokenizer
        self._config = decoder.config
        self._table = decoder.embedding.weight
        self._rotary = RotaryTable(decoder.rotary_emb, self._config.max_positions, like=self._table)
        self._mask = torch.zeros(self._config.codebook_size + 4, device=self._table.device)
        self._mask[list(decoder.special.unspeakable)] = -math.inf
        self._active: list[Clause] = []
        self._waiting: deque[Clause] = deque()

    @classmethod
    def load(cls, folder: Path, limits: SpeechLimits | None = None, device: str = "cpu") -> SpeechEngine:
        """Load a checkpoint."""
        config = load_manifest(folder).component_config()
        if not isinstance(config, SpeechDecoderConfig):
            raise CheckpointError(f"{folder}: not a speech decoder")
        decoder = load_into(SpeechDecoder(config, NAME), folder).to(device)
        engine = cls(decoder, Tokenizer.from_file(tokenizer_path(folder)), limits)
        engine.warm_up()
        return engine

    def warm_up(self) -> None:
        """Speak a little before the first clause comes: the first run of every kernel is slow."""
        clause = Clause("warming up", 0, lambda event: self.cancel(clause))
        self.speak(clause)
        self.run_until_idle()

    def speak(self, clause: Clause) -> None:
        """Speak a clause; its chance depends on its seed only."""
        self.submit(partial(self._accept, clause))

    def cancel(self, clause: Clause) -> None:
        """Stop speaking a clause before the next step; nothing more is said about it."""
        self.submit(partial(self._drop, clause))

    # -- tasks, on the engine's thread

    def _accept(self, clause: Clause) -> None:
        try:
            if len(self._waiting) >= MAX_WAITING:
                raise AtCapacity(f"{MAX_WAITING} clauses are waiting")
            ids = self._tokenizer.encode(clause.text)
            room = self._config.max_positions - 2 - len(ids) * self._config.subframes
            if room < MIN_CODES:
                raise BadRequest(f"text: {len(ids)} tokens leave no room for codes")
        except EngineError as error:
            clause.emit(is_last=True, error=str(error))
            return
        if not ids:
            clause.emit(is_last=True)
            return
        clause.max_codes = min(self._config.max_codes, room)
        self._waiting.append(clause)
        self._admit()

    def _drop(self, clause: Clause) -> None:
        clause.is_over = True
        if clause in self._waiting:
            self._waiting.remove(clause)
        self._admit()

    def _admit(self) -> None:
        """Let waiting clauses take the places of those that are over."""
        self._active = [clause for clause in self._active if not clause.is_over]
        while self._waiting and len(self._active) < self._limits.max_clauses:
            self._active.append(self._waiting.popleft())
        self.statistics.sessions = len(self._active)

    # -- steps

    def has_work(self) -> bool:
        return bool(self._active)

    def step(self) -> int:
        starting = next((clause for clause in self._active if clause.slot is None), None)
        speaking = [clause for clause in self._active if clause.slot is not None]
        spans = [Span(_slot(clause), 1) for clause in speaking]
        rows = [self._table[[clause.last for clause in speaking]]] if speaking else []
        if starting is not None:
            block = self._start(starting)
            spans.append(Span(_slot(starting), len(block), is_bidirectional=True))
            rows.append(block)
        hidden = self._forward(spans, rows)
        if speaking:
            self._choose(speaking, hidden[: len(speaking)])
            if any(clause.is_over for clause in speaking):
                self._admit()
        return len(spans)

    def abandon(self, error: Exception) -> None:
        for clause in self._active:
            clause.emit(is_last=True, error=f"ERROR_REASON_INTERNAL: {type(error).__name__} in a step")
        self._active = []
        self._admit()

    def _start(self, clause: Clause) -> Tensor:
        """Give a clause its slot; return its text block, (1 + sub-frames, hidden)."""
        ids = self._tokenizer.encode(clause.text)
        block = self._decoder.text_block(torch.tensor([ids], device=self._table.device))[0]
        config = self._config
        capacity = len(block) + 1 + clause.max_codes
        shape = CacheShape(config.layers, config.heads, config.hidden // config.heads, capacity)
        clause.slot = KvSlot(shape, dtype=self._table.dtype, device=str(self._table.device))
        clause.last = self._decoder.special.speech_start
        return block

    def _forward(self, spans: Sequence[Span], rows: list[Tensor]) -> Tensor:
        indices = torch.tensor(positions(spans), device=self._table.device)
        joined = rows[0] if len(rows) == 1 else torch.cat(rows)
        return run_layers(self._decoder.layers, joined[None], self._rotary.rows(indices), RaggedBatch(spans))[0]

    def _choose(self, speaking: list[Clause], hidden: Tensor) -> None:
        logits = self._decoder.logits(hidden).float() + self._mask
        noise = [uniform(clause.seed, clause.step) for clause in speaking]
        self.statistics.items += len(speaking)
        for clause, code in zip(speaking, sample_top_k(logits, self._config.top_k, noise), strict=True):
            self._advance(clause, code)

    def _advance(self, clause: Clause, code: int) -> None:
        if code == self._decoder.special.speech_end:
            clause.emit(is_last=True)
            return
        clause.chunk.append(code)
        clause.last = code
        clause.step += 1
        sizes = self._limits.chunk_codes
        if clause.step >= clause.max_codes:
            clause.emit(is_last=True)
        elif len(clause.chunk) >= sizes[min(clause.chunk_count, len(sizes) - 1)]:
            clause.emit()


def _slot(clause: Clause) -> KvSlot:
    assert clause.slot is not None
    return clause.slot
