"""Speech to embeddings for many utterances at once, each a stream, in turns of at most one chunk's sound.

The streaming mode's mask (docs/model.md, 2.2) makes an utterance's embeddings the same whether it comes whole or in
pieces; here that also means that a long piece may be cut, so that utterances take fair turns.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vita15.checkpoint import load_into, load_manifest
from vita15.config import SPEECH_IN_HZ, SpeechEncoderConfig
from vita15.engine.errors import AtCapacity, NoSession
from vita15.engine.worker import Worker
from vita15.errors import CheckpointError, ModelError
from vita15.speech_encoder import SpeechEncoder
from vita15.speech_stream import SpeechEncoderStream

logger = logging.getLogger(__name__)

TURN_SAMPLES = SPEECH_IN_HZ  # encoded in one step: 1 s, so that a sound that comes whole costs few steps
MAX_PENDING_SAMPLES = 200 * SPEECH_IN_HZ  # pushed and not yet encoded: as long as an utterance may be


@dataclass(frozen=True, slots=True)
class SpeechEvent:
    """Embeddings that became final; the last event of an utterance has `is_last`, perhaps with an error."""

    embeddings: Tensor | None  # (count, width); may be empty
    is_last: bool = False
    error: str = ""  # "<reason>: <message>"
    finished: float | None = None  # probability that what was heard is a finished sentence; None: no head, or no chunk
    heard_ms: int = 0  # how much of the utterance `finished` speaks of


Reply = Callable[[SpeechEvent], None]  # called on the engine's thread: must not block


@dataclass(slots=True, eq=False)
class HeardUtterance:
    """An utterance; `reply` gets all that is said about it."""

    key: str
    stream: SpeechEncoderStream
    reply: Reply
    pending: deque[Tensor] = field(default_factory=deque[Tensor])  # (n,) float32
    pending_samples: int = 0
    is_finished: bool = False


class SpeechEncoderEngine(Worker):
    """Runs the speech encoder."""

    def __init__(self, encoder: SpeechEncoder, max_sessions: int = 32) -> None:
        super().__init__("speech-encoder-engine")
        self._encoder = encoder.eval()
        self._max_sessions = max_sessions
        self._utterances: dict[str, HeardUtterance] = {}
        self._ready: deque[HeardUtterance] = deque()

    @classmethod
    def load(cls, folder: Path, *, max_sessions: int = 32, device: str = "cpu") -> SpeechEncoderEngine:
        """Load a checkpoint."""
        config = load_manifest(folder).component_config()
        if not isinstance(config, SpeechEncoderConfig):
            raise CheckpointError(f"{folder}: not a speech encoder")
        encoder = load_into(SpeechEncoder(config), folder).to(device)
        if encoder.turn_end is None:
            logger.info("no head for the end of a turn: silence alone will end turns")
        SpeechEncoderStream(encoder).push(torch.zeros(TURN_SAMPLES))  # the first run of every kernel is slow
        return cls(encoder, max_sessions)

    def open(self, key: str, reply: Reply) -> None:
        """Open an utterance; one that exists under this key is dropped."""
        self.submit(partial(self._open, key, reply))

    def push(self, key: str, samples: NDArray[np.int16], refuse: Reply) -> None:
        """Hear more, 16 kHz mono; `refuse` is told if there is no such utterance."""
        self.submit(partial(self._push, key, samples, refuse))

    def finish(self, key: str, refuse: Reply) -> None:
        """The utterance is over: what was held back for look-ahead comes out, then the last event."""
        self.submit(partial(self._finish, key, refuse))

    def end(self, key: str) -> None:
        """Drop an utterance; nothing more is said about it."""
        self.submit(partial(self._drop, key))

    # -- tasks, on the engine's thread

    def _open(self, key: str, reply: Reply) -> None:
        self._drop(key)
        if len(self._utterances) >= self._max_sessions:
            reply(_refusal(AtCapacity(f"{self._max_sessions} utterances are being heard")))
            return
        self._utterances[key] = HeardUtterance(key, SpeechEncoderStream(self._encoder), reply)
        self.statistics.sessions = len(self._utterances)

    def _push(self, key: str, samples: NDArray[np.int16], refuse: Reply) -> None:
        utterance = self._utterances.get(key)
        if utterance is None or utterance.is_finished:
            refuse(_refusal(NoSession("no utterance is open under this key")))
            return
        if utterance.pending_samples + len(samples) > MAX_PENDING_SAMPLES:
            self._fail(utterance, AtCapacity("more sound is waiting than an utterance may have"))
            return
        sound = torch.from_numpy(samples.astype(np.float32) / 32768)
        utterance.pending.extend(sound.split(TURN_SAMPLES))
        utterance.pending_samples += len(samples)
        self._note(utterance)

    def _finish(self, key: str, refuse: Reply) -> None:
        utterance = self._utterances.get(key)
        if utterance is None:
            refuse(_refusal(NoSession("no utterance is open under this key")))
            return
        utterance.is_finished = True
        self._note(utterance)

    def _drop(self, key: str) -> None:
        utterance = self._utterances.pop(key, None)
        if utterance in self._ready:
            self._ready.remove(utterance)
        self.statistics.sessions = len(self._utterances)

    def _note(self, utterance: HeardUtterance) -> None:
        if utterance not in self._ready and (utterance.pending or utterance.is_finished):
            self._ready.append(utterance)

    def _fail(self, utterance: HeardUtterance, error: ModelError) -> None:
        self._drop(utterance.key)
        utterance.reply(_refusal(error))

    # -- steps

    def has_work(self) -> bool:
        return bool(self._ready)

    def step(self) -> int:
        utterance = self._ready[0]
        try:
            event = self._hear(utterance)
        except ModelError as error:
            self._fail(utterance, error)
            return 1
        self._ready.popleft()
        if event.is_last:
            self._drop(utterance.key)
        self._note_rest(utterance, event)
        return 1

    def abandon(self, error: Exception) -> None:
        utterance = self._ready[0]
        self._drop(utterance.key)
        utterance.reply(
            SpeechEvent(None, is_last=True, error=f"ERROR_REASON_INTERNAL: {type(error).__name__} in a step")
        )

    def _hear(self, utterance: HeardUtterance) -> SpeechEvent:
        stream, is_last = utterance.stream, not utterance.pending
        if is_last:
            embeddings = stream.finish()
        else:
            samples = utterance.pending.popleft()
            utterance.pending_samples -= len(samples)
            embeddings = stream.push(samples)
        return SpeechEvent(embeddings.cpu(), is_last, finished=stream.finished, heard_ms=stream.heard_ms)

    def _note_rest(self, utterance: HeardUtterance, event: SpeechEvent) -> None:
        if not event.is_last:
            self._note(utterance)
        count = 0 if event.embeddings is None else len(event.embeddings)
        self.statistics.items += count
        if count or event.is_last:
            utterance.reply(event)


def _refusal(error: ModelError) -> SpeechEvent:
    message = str(error) if str(error).startswith(error.reason) else f"{error.reason}: {error}"
    return SpeechEvent(None, is_last=True, error=message)
