"""Hearing one utterance: sound goes to the speech encoder while it is still being spoken, embeddings are kept.

The sound is kept as well, for the record and so that another replica can take over when one is lost: it is then told
everything again, and gives the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from vita_runtime.errors import VitaError

from vita_orchestrator.channel import together
from vita_orchestrator.components import Embeddings, SpeechEncoder, TurnEnd, Utterance
from vita_orchestrator.measures import STAGE
from vita_orchestrator.patience import LOST, RETRY_S, Patience

BYTES_PER_MS = 32  # 16 kHz, 16 bit
CHUNK_BYTES = 160 * BYTES_PER_MS  # what the encoder turns into two embeddings at a time
LOOK_AHEAD_BYTES = 45 * BYTES_PER_MS  # that it needs behind a chunk (docs/components.md)
BURST_BYTES = 2000 * BYTES_PER_MS  # sound that waits already goes out in larger messages
# 1.3 s: an utterance enters the context in blocks, so that little is left to do at its end. Smaller ones would be more
# steps of the model for less: reading 16 rows takes a twelfth of a step.
BLOCK_ROWS = 16


def worth_sending(byte_count: int) -> int:
    """Return how much of a sound that goes on makes whole chunks, with what the encoder looks ahead behind them."""
    chunks = max(0, byte_count - LOOK_AHEAD_BYTES) // CHUNK_BYTES
    return chunks * CHUNK_BYTES + LOOK_AHEAD_BYTES if chunks else 0


class Hearing:
    """One utterance, from its onset to its embeddings; a source of rows for the context."""

    def __init__(self, item_id: str, encoder: SpeechEncoder, patience: Patience) -> None:
        self.item_id = item_id
        self.samples = bytearray()
        self._encoder = encoder
        self._patience = patience
        self._rows = bytearray()
        self._width = 0
        self._turn_end: TurnEnd | None = None  # the newest
        self._is_ended = False
        self._ended_s = patience.now()
        self._is_complete = False
        self._error: VitaError | None = None
        # Two, because four of five wake-ups would be of somebody who waits for the other.
        self._heard = asyncio.Event()  # there is sound to send, or no more comes
        self._changed = asyncio.Condition()  # blocks of rows have come, or the end of them

    @classmethod
    def recorded(cls, item_id: str, samples: bytes, encoder: SpeechEncoder, patience: Patience) -> Hearing:
        """Return the hearing of a sound that is there as a whole."""
        hearing = cls(item_id, encoder, patience)
        hearing.samples += samples
        hearing._is_ended = True
        return hearing

    @property
    def has_failed(self) -> bool:
        """Whether the encoder was lost and did not come back: a new hearing may have more luck."""
        return self._error is not None

    @property
    def is_whole(self) -> bool:
        """Whether no more rows will come."""
        return self._is_complete

    @property
    def duration_ms(self) -> int:
        """Sound heard so far."""
        return len(self.samples) // BYTES_PER_MS

    @property
    def row_count(self) -> int:
        """Embeddings so far."""
        return len(self._rows) // (self._width * 2) if self._width else 0

    def finished(self, silent_ms: int) -> float | None:
        """Return the probability that what was said is a finished sentence; None: not known, or not of all of it.

        An encoder that is lost or slow has not heard the pause, and what it thought in the middle of a word would hold
        the turn.

        Args:
            silent_ms: how long ago, in sound, the last voice was.
        """
        known = self._turn_end
        return known.finished if known is not None and known.heard_ms >= self.duration_ms - silent_ms else None

    def hear(self, samples: bytes) -> None:
        """Take more sound: PCM 16-bit, 16 kHz."""
        before = worth_sending(len(self.samples))
        self.samples += samples
        if worth_sending(len(self.samples)) > before:  # nobody waits for less
            self._heard.set()

    def end(self) -> None:
        """The utterance is over."""
        self._is_ended = True
        self._ended_s = self._patience.now()
        self._patience.restart()
        self._heard.set()

    async def run(self) -> None:
        """Encode until the utterance has ended and is encoded, on as many replicas as it takes.

        A failure is kept for whoever asks for the rows: it concerns the turn, not the conversation.
        """
        try:
            await self._encode_patiently()
            self._is_complete = True
            STAGE.labels("speech_encoder").observe(self._patience.now() - self._ended_s)
        except VitaError as error:
            self._error = error
        await self._notify()

    async def rows(self, start: int) -> AsyncGenerator[Embeddings]:
        """Yield the rows from `start` on: whole blocks while the user speaks, everything once they have ended.

        Raises:
            ComponentUnavailable, ComponentDeadline: the speech encoder was lost and did not come back.
        """
        if self._is_ended:
            async with self._changed:
                await self._changed.wait_for(lambda: self._is_complete or self._error is not None)
            if self._error is not None:
                raise self._error
        end = self.row_count if self._is_ended else self.row_count // BLOCK_ROWS * BLOCK_ROWS
        rows, size = self._rows, self._width * 2
        for at in range(start, end, BLOCK_ROWS):
            count = min(BLOCK_ROWS, end - at)
            yield Embeddings(bytes(rows[at * size : (at + count) * size]), count, self._width)

    async def _encode_patiently(self) -> None:
        lost: VitaError | None = None
        while True:
            self._rows = bytearray()  # a new one: whoever is reading the old one reads on
            try:
                async with asyncio.timeout_at(self._deadline_s(lost)):
                    return await self._encode()
            except LOST as error:
                lost = error
            except TimeoutError:
                raise lost or TimeoutError from None
            deadline_s = self._deadline_s(lost)
            if deadline_s is not None and self._patience.now() + RETRY_S > deadline_s:
                raise lost
            await asyncio.sleep(RETRY_S)

    def _deadline_s(self, lost: VitaError | None) -> float | None:
        """Return when to give up; while the user still speaks there is time."""
        if lost is None:
            return None
        deadline_s = self._patience.deadline_s(lost)  # which also notes the loss
        return deadline_s if self._is_ended else None

    async def _encode(self) -> None:
        async with self._encoder.utterance() as utterance, together() as tasks:
            tasks.create_task(self._collect(utterance))
            sent = 0
            while (chunk := await self._next_chunk(sent)) is not None:
                await utterance.push(chunk)
                sent += len(chunk)
            await utterance.finish()

    async def _next_chunk(self, sent: int) -> bytes | None:
        """Return the next piece of sound once it is worth sending; None at the end."""
        while not self._is_ended and worth_sending(len(self.samples)) <= sent:
            self._heard.clear()
            await self._heard.wait()
        end = len(self.samples) if self._is_ended else worth_sending(len(self.samples))
        return bytes(self.samples[sent : min(end, sent + BURST_BYTES)]) or None

    async def _collect(self, utterance: Utterance) -> None:
        async for embeddings in utterance.embeddings():
            self._patience.worked("speech_encoder")
            blocks, self._width = self.row_count // BLOCK_ROWS, embeddings.width
            self._rows += embeddings.rows
            self._turn_end = embeddings.turn_end
            if self.row_count // BLOCK_ROWS > blocks:  # nobody waits for less, but for the end
                await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_for_block(self, count: int) -> None:
        """Return when `count` blocks are there, or the utterance is encoded or failed."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.row_count >= count * BLOCK_ROWS or self._is_complete or self._error is not None
            )
