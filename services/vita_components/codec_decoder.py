"""Client of `codec_decoder`: one request a window; any replica decodes any window."""

from __future__ import annotations

from dataclasses import dataclass

from vita_components.failures import garbled
from vita_components.pool import Pool
from vita_components.tensors import integer_tensor
from vita_components.triton import Message, build_request

CONTEXT_CODES = 10  # either side of what is kept (docs/model.md, 4.6)
SAMPLES_PER_CODE = 600  # 24 kHz, 40 codes a second
WINDOW_S = 3.0  # longest wait for a window: at most a few seconds of sound


def decode_request(codes: tuple[int, ...], keep_from: int, keep_count: int) -> Message:
    """Ask for the sound of some codes among their neighbours."""
    window = (integer_tensor("KEEP_FROM", [keep_from]), integer_tensor("KEEP_COUNT", [keep_count]))
    return build_request("codec_decoder", [integer_tensor("CODES", codes), *window])


@dataclass(slots=True)
class TritonCodecDecoder:
    """CodecDecoder over Triton."""

    pool: Pool
    context_codes: int = CONTEXT_CODES

    async def decode(self, codes: tuple[int, ...], *, keep_from: int, keep_count: int) -> bytes:
        async with self.pool.lend() as endpoint:
            reply = await endpoint.infer(decode_request(codes, keep_from, keep_count), deadline_s=WINDOW_S)
            sound = reply.tensor("SOUND", "INT16")
            if sound.shape != (keep_count * SAMPLES_PER_CODE,) or len(sound.raw) != 2 * sound.shape[0]:
                raise garbled(
                    "codec_decoder", f"SOUND has {len(sound.raw)} bytes, {sound.shape}, for {keep_count} codes"
                )
        return sound.raw
