"""Client of `speech_encoder`: one stream an utterance; sound goes up as it is heard, embeddings come down."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from vita_orchestrator.components import Embeddings, TurnEnd, Utterance
from vita_runtime.errors import BadMedia, OutOfOrder

from vita_components.failures import garbled
from vita_components.pool import Pool
from vita_components.tensors import Reply, Tensor
from vita_components.triton import Deadline, Message, Stream, build_request

FINISH_S = 5.0  # longest silence after `finish`: a recorded sound is all still to be heard, behind other users' sound
BYTES_PER_SAMPLE = 2


def utterance_request(session_id: str, op: str, samples: bytes = b"") -> Message:
    """Ask for something in an utterance."""
    tensors = [Tensor("SAMPLES", "INT16", (len(samples) // BYTES_PER_SAMPLE,), samples)] if samples else []
    return build_request("speech_encoder", tensors, {"op": op, "session_id": session_id})


def turn_end_of(reply: Reply) -> TurnEnd | None:
    """Read whether the sentence is finished; None: the checkpoint has no head that says so."""
    if "FINISHED" not in reply:
        return None
    finished = reply.numbers("FINISHED", ("FP32",))
    if len(finished) != 1 or not 0 <= finished[0] <= 1:  # NaN is not
        raise garbled("speech_encoder", "FINISHED is no probability")
    return TurnEnd(finished[0], reply.integer("HEARD_MS"))


class TritonUtterance:
    """Utterance over a stream."""

    def __init__(self, stream: Stream, session_id: str) -> None:
        self._stream, self._session_id = stream, session_id
        self._deadline = Deadline()  # none while the user speaks: silence is no fault
        self._is_finished = False

    async def push(self, samples: bytes) -> None:
        if self._is_finished:
            raise OutOfOrder("the utterance is finished")
        if len(samples) % BYTES_PER_SAMPLE:
            raise BadMedia("audio.samples", "is cut inside a sample")
        if samples:
            await self._stream.send(utterance_request(self._session_id, "push", samples))

    async def finish(self) -> None:
        if not self._is_finished:
            self._is_finished = True
            self._deadline.start(FINISH_S)
            await self._stream.send(utterance_request(self._session_id, "finish"))

    async def embeddings(self) -> AsyncGenerator[Embeddings]:
        while True:
            reply = await self._stream.expect(self._deadline)
            if self._is_finished:
                self._deadline.start(FINISH_S)
            rows = reply.rows("EMBEDDINGS")
            if rows.raw:
                yield Embeddings(rows.raw, rows.shape[0], rows.shape[1], turn_end=turn_end_of(reply))
            if reply.flag("END"):
                return


@dataclass(frozen=True, slots=True)
class TritonSpeechEncoder:
    """SpeechEncoder over Triton."""

    pool: Pool

    @asynccontextmanager
    async def utterance(self) -> AsyncGenerator[Utterance]:
        session_id = secrets.token_hex(8)
        async with self.pool.lend(session_id) as endpoint, endpoint.stream() as stream:
            await stream.send(utterance_request(session_id, "open"))
            yield TritonUtterance(stream, session_id)
