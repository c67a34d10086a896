"""The end of a turn: which sentences the ear still waits for some time after the voice has stopped.

The ear is serving's own (voice activity and endpointing), and the head on the speech encoder speaks when serving hears
it: once a chunk of 160 ms and what it looks ahead are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vita_orchestrator.endpointing import FRAME_MS, Endpointing, EndpointingLimits
from vita_orchestrator.vad import SileroVoiceActivity
from vita_training.world.sources import turn_ends as pauses

from vita15.fbank import fbank
from vita15.speech_encoder import SpeechEncoder
from vita_evaluation.quality.hearing import load_speech_encoder
from vita_evaluation.quality.intervals import share
from vita_evaluation.quality.material import Material, NotMeasurable, draw, sound_of
from vita_evaluation.quality.table import Finding

SENTENCES = 800  # half of them unfinished
DELAY_MS = 500  # beyond the silence that ends a turn anyway: who is still waited for then is made to wait
VOICE_LAG_MS = 200  # voice activity and the room's echo outlast the voice by less
FRAME_S, LOOK_AHEAD_S = 0.04, 0.045  # of the encoder's frames
FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whether the ear is still open at the end of the pause."""

    is_finished: bool  # the sentence
    with_head: bool
    without_head: bool


def turn_ends(material: Material) -> Iterator[Finding]:
    """Let sentences end, and count who is waited for."""
    speech = load_speech_encoder(material)
    if speech.turn_end is None:
        raise NotMeasurable("this checkpoint has no head for the end of a turn (turn_end_hidden is 0)")
    pause_s = (EndpointingLimits().silence_ms + DELAY_MS + VOICE_LAG_MS) / 1000
    source = pauses(0, recordings=material.recordings, is_held_out=True, pause_s=(pause_s, pause_s))
    found: list[Waiting] = []
    for sample in draw(source, material.count(SENTENCES), "end of turn"):
        samples = sound_of(sample)
        voice = asyncio.run(SileroVoiceActivity().probabilities(samples.tobytes()))
        finished = finished_over_time(speech, samples)
        waits = (is_waiting(voice, finished), is_waiting(voice, []))
        found.append(Waiting(sample.kind == FINISHED, *waits))
    # Where silence alone does not end the turn, voice activity hears a voice in the noise, and no head could end it.
    heard = [waiting for waiting in found if not waiting.without_head]
    note = f"{len(found) - len(heard)} of {len(found)} left out: in their noise voice activity hears no silence at all"
    for key, is_finished in (("turns.unfinished", False), ("turns.finished", True)):
        ours = [waiting.with_head for waiting in heard if waiting.is_finished == is_finished]
        if not ours:
            raise NotMeasurable("voice activity hears no silence behind any of them")
        yield Finding(key, share(sum(ours), len(ours)), len(ours), note)


@torch.inference_mode()
def finished_over_time(speech: SpeechEncoder, samples: NDArray[np.int16]) -> list[tuple[float, float]]:
    """Return when what is known: (seconds of sound, probability that the sentence is finished), chunk by chunk."""
    assert speech.turn_end is not None
    features: Tensor = fbank(torch.from_numpy(samples.astype(np.float32) / 32768))
    frames, _ = speech.encode_frames(features[None], torch.tensor([len(features)]), "stream")
    logits, _ = speech.turn_end(frames)
    chunk = speech.config.chunk_frames
    ends = range(chunk, frames.shape[1] + 1, chunk)
    return [(end * FRAME_S + LOOK_AHEAD_S, logits[0, end - 1].sigmoid().item()) for end in ends]


def is_waiting(voice: Sequence[float], finished: Sequence[tuple[float, float]]) -> bool:
    """Whether an utterance is still open at the end of the sound.

    Args:
        voice: probabilities of voice, frame by frame of 32 ms.
        finished: (seconds, probability) as they become known, in order; empty: they never do.
    """
    ear, known = Endpointing(EndpointingLimits()), 0
    for index, probability in enumerate(voice, 1):
        while known < len(finished) and finished[known][0] <= index * FRAME_MS / 1000:
            known += 1
        ear.hear(probability, is_answering=False, finished=finished[known - 1][1] if known else None)
    return ear.is_speech
