"""A speech encoder with a head for the end of a turn, inside a real Triton process, asked by the real client."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from vita_components.connect import NAMES, connect

from tests.components.laws import hear, speech
from tests.stack import running_stack
from vita15.checkpoint import load_into
from vita15.config import TINY
from vita15.random_checkpoint import write_random_checkpoint
from vita15.speech_encoder import SpeechEncoder
from vita15.speech_stream import SpeechEncoderStream

pytestmark = pytest.mark.triton

WITH_HEAD = dataclasses.replace(TINY, speech_encoder=dataclasses.replace(TINY.speech_encoder, turn_end_hidden=16))


async def test_what_triton_says_of_a_sentence_is_what_the_model_says(triton: None, scratch: Path) -> None:
    weights = scratch / "with-head"
    write_random_checkpoint(WITH_HEAD, 0, weights)
    sound = speech(1.5)
    with running_stack(scratch / "turn-end", weights, ("speech_encoder",)) as stack:
        addresses = {name: [stack.address("speech_encoder")] for name in NAMES}
        async with connect(addresses) as components:  # the others are not asked
            heard = await hear(components, sound, 5120)
    stream = SpeechEncoderStream(load_into(SpeechEncoder(WITH_HEAD.speech_encoder), weights / "speech_encoder").eval())
    known: dict[int, float | None] = {}
    samples = torch.from_numpy(np.frombuffer(sound, np.int16).astype(np.float32) / 32768)
    for piece in samples.split(2560):
        stream.push(piece)
        known[stream.heard_ms] = stream.finished
    stream.finish()
    known[stream.heard_ms] = stream.finished
    assert len(heard) > 5
    for embeddings in heard:
        assert embeddings.turn_end is not None
        assert embeddings.turn_end.finished == pytest.approx(known[embeddings.turn_end.heard_ms], abs=1e-4)
