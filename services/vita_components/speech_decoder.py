"""Client of `speech_decoder`: one stream a clause; any replica speaks any clause."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from vita_orchestrator.components import Codes

from vita_components.failures import garbled
from vita_components.pool import Pool
from vita_components.tensors import Reply, text_tensor
from vita_components.triton import Deadline, Message, build_request

CODEBOOK = 1024  # docs/model.md, 4.2
CHUNK_S = 5.0  # longest wait for a chunk: 40 codes, a second of sound, beside other users' clauses


def speak_request(clause: str, seed: int) -> Message:
    """Ask for a clause's codec tokens."""
    return build_request("speech_decoder", [text_tensor("TEXT", clause)], {"op": "speak", "seed": seed})


def codes_of(reply: Reply) -> Codes:
    """Read a chunk."""
    codes = reply.integers("CODES")
    if codes and not (min(codes) >= 0 and max(codes) < CODEBOOK):
        raise garbled("speech_decoder", f"CODES has some outside the codebook of {CODEBOOK}")
    return Codes(codes, is_last=reply.flag("END"))


@dataclass(frozen=True, slots=True)
class TritonSpeechDecoder:
    """SpeechDecoder over Triton."""

    pool: Pool

    async def speak(self, clause: str, *, seed: int) -> AsyncGenerator[Codes]:
        async with self.pool.lend() as endpoint, endpoint.stream() as stream:
            await stream.send(speak_request(clause, seed))
            while True:
                reply = await stream.expect(Deadline(CHUNK_S))
                codes = codes_of(reply)
                yield codes
                if codes.is_last:
                    return
