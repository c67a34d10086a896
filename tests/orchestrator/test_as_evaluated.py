"""Serving waits for just those whom evaluation finds waited for (evaluation/vita_evaluation/quality/turn_ends.py).

Evaluation takes a reply to need a frame of voice activity; here they are quicker than that, and not at once.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray
from vita_cli.sounds import read_sound
from vita_evaluation.quality.turn_ends import Ear, hearer, listen
from vita_orchestrator.components import Embeddings, TurnEnd, Utterance
from vita_orchestrator.vad import SileroVoiceActivity

from tests.fakes.components import FakeComponents
from tests.orchestrator import talk as talks
from tests.orchestrator.talk import chunk, talking
from tests.orchestrator.test_turn_ends import SEMANTIC
from vita15.config import TINY
from vita15.fbank import fbank
from vita15.random_checkpoint import BUILDERS
from vita15.speech_encoder import SpeechEncoder
from vita15.speech_stream import SpeechEncoderStream

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).parents[2] / "examples"
# Questions, and after how much of one somebody stops.
STOPS = [(name, share) for name in ("describe", "where-is-it") for share in (0.4, 0.6, 0.8, 1.0)]
PAUSE = np.zeros(16 * 1200, np.int16)  # longer than a finished sentence's silence, shorter than an unfinished one's
FRAME_SAMPLES = 512
REPLY_S = 0.01
ASKED_FRAME = -19  # of 40 ms from the end: 0.45 s into the pause


class HeardHere:
    """An utterance heard by a model in this process."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        self._stream = SpeechEncoderStream(encoder)
        self._heard: asyncio.Queue[Embeddings | None] = asyncio.Queue()

    async def push(self, samples: bytes) -> None:
        rows = self._stream.push(torch.from_numpy(np.frombuffer(samples, np.int16).astype(np.float32) / 32768))
        assert self._stream.finished is not None
        turn_end = TurnEnd(self._stream.finished, self._stream.heard_ms)
        self._heard.put_nowait(Embeddings(rows.half().numpy().tobytes(), *rows.shape, turn_end=turn_end))

    async def finish(self) -> None:
        self._heard.put_nowait(None)

    async def embeddings(self) -> AsyncGenerator[Embeddings]:
        while (embeddings := await self._heard.get()) is not None:
            await asyncio.sleep(REPLY_S)
            if embeddings.count:
                yield embeddings


@dataclasses.dataclass
class SpeechEncoderHere:
    """See SpeechEncoder."""

    encoder: SpeechEncoder

    @asynccontextmanager
    async def utterance(self) -> AsyncGenerator[Utterance]:
        yield HeardHere(self.encoder)


def sentence(name: str, share: float = 1.0) -> NDArray[np.int16]:
    """A question up to where somebody stops, in silence."""
    whole = soxr.resample(np.frombuffer(read_sound(EXAMPLES / f"{name}.wav"), np.int16), 24_000, 16_000)
    whole = whole[: np.flatnonzero(np.abs(whole) > 500)[-1]]
    return np.concatenate([np.zeros(4000, np.int16), whole[: int(share * len(whole))], PAUSE])


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    """Random weights, and a head that is very sure of itself, half of the time that a sentence is finished."""
    torch.manual_seed(3)
    config = dataclasses.replace(TINY, speech_encoder=dataclasses.replace(TINY.speech_encoder, turn_end_hidden=32))
    encoder = BUILDERS["speech_encoder"](config).eval()
    assert isinstance(encoder, SpeechEncoder)
    assert encoder.turn_end is not None
    with torch.no_grad():
        encoder.turn_end.out.weight.mul_(100)
        logits: list[torch.Tensor] = []
        for name, share in STOPS:
            features = fbank(torch.from_numpy(sentence(name, share).astype(np.float32) / 32768))
            frames, _ = encoder.encode_frames(features[None], torch.tensor([len(features)]), "stream")
            logits.append(encoder.turn_end(frames)[0][0, ASKED_FRAME])
        encoder.turn_end.out.bias.sub_(torch.stack(logits).median())
    return encoder


async def served(sound: NDArray[np.int16], encoder: SpeechEncoder) -> bool:
    """Whether a conversation still listens at the end of a sound."""
    fakes = FakeComponents.answering("Yes.")
    fakes.speech_encoder = SpeechEncoderHere(encoder)  # type: ignore[assignment]
    async with talking(fakes, configuration=SEMANTIC) as talk:
        for at in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
            await talk.say(audio=chunk(sound[at : at + FRAME_SAMPLES].tobytes()))
            await asyncio.sleep(FRAME_SAMPLES / 16_000)
        await talk.until("speech_started")
        return not talk.all("speech_stopped")


async def evaluated(sound: NDArray[np.int16], encoder: SpeechEncoder) -> bool:
    """Whether evaluation finds the same."""
    voice = await SileroVoiceActivity().probabilities(sound.tobytes())
    return listen(voice, hearer(encoder, sound)) is Ear.OPEN


async def test_serving_waits_for_whom_evaluation_finds_waited_for(
    encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talks, "LoudVoiceActivity", SileroVoiceActivity)
    found: list[tuple[bool, bool]] = []
    for name, share in STOPS:
        sound = sentence(name, share)
        found.append((await served(sound, encoder), await evaluated(sound, encoder)))
    ours, theirs = zip(*found, strict=True)
    assert ours == theirs
    assert set(ours) == {False, True}, "some are waited for"
