"""The end of a turn: which sentences the ear still waits for some time after the voice has stopped.

All of it is serving's: voice activity, endpointing with the limits of `semantic_vad` at medium eagerness (which are the
defaults), where an utterance begins, and what the head on the speech encoder has heard when it is asked: whole chunks
from that beginning on, with what the encoder looks ahead, a frame of voice activity ago: a reply takes its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vita_orchestrator.endpointing import FRAME_MS, Decision, Endpointing, EndpointingLimits
from vita_orchestrator.hearing import BYTES_PER_MS, CHUNK_BYTES, worth_sending
from vita_orchestrator.vad import SileroVoiceActivity
from vita_training.world.sources import turn_ends as pauses

from vita15.config import SPEECH_IN_HZ
from vita15.fbank import fbank
from vita15.speech_encoder import SpeechEncoder
from vita_evaluation.quality.hearing import load_speech_encoder
from vita_evaluation.quality.intervals import share
from vita_evaluation.quality.material import Material, NotMeasurable, draw, is_new, sound_of
from vita_evaluation.quality.table import Finding

SENTENCES = 1000  # half of them unfinished: ± 2 points at 5 %
DELAY_MS = 500  # beyond the silence that ends a turn anyway: who is still waited for then is made to wait
VOICE_LAG_MS = 200  # voice activity and the room's echo outlast the voice by less
CHUNK_MS = CHUNK_BYTES // BYTES_PER_MS
FINISHED = "finished"

Heard = Callable[[int], Sequence[float]]  # from which ms on → probabilities that the sentence is finished, by chunks


class Ear(Enum):
    """What an ear is doing when the sound is over."""

    DEAF = auto()  # it never heard that somebody speaks
    OPEN = auto()
    CLOSED = auto()


def turn_ends(material: Material) -> Iterator[Finding]:
    """Let sentences end, and count who is waited for."""
    speech = load_speech_encoder(material)
    if speech.turn_end is None:
        raise NotMeasurable("this checkpoint has no head for the end of a turn (turn_end_hidden is 0)")
    pause_s = (EndpointingLimits().silence_ms + DELAY_MS + VOICE_LAG_MS) / 1000
    source = pauses(0, recordings=material.recordings, is_held_out=True, pause_s=(pause_s, pause_s))
    waiting: dict[str, list[bool]] = {}
    left_out = 0
    for sample in draw(source, material.count(SENTENCES), "end of turn", lambda it: it.kind != FINISHED or is_new(it)):
        samples = sound_of(sample)
        voice = asyncio.run(SileroVoiceActivity().probabilities(samples.tobytes()))
        if listen(voice) is Ear.CLOSED:
            is_open = listen(voice, hearer(speech, samples)) is Ear.OPEN
            waiting.setdefault(sample.kind, []).append(is_open)
        else:  # the head is never asked: nothing is heard, or in the noise no silence
            left_out += 1
    note = f"{left_out} left out: voice activity hears nobody speak, or in the noise behind them no silence"
    for key, kind in (("turns.unfinished", "unfinished"), ("turns.finished", FINISHED)):
        ours = waiting.get(kind)
        if not ours:
            raise NotMeasurable("voice activity hears no silence behind any of them")
        yield Finding(key, share(sum(ours), len(ours)), len(ours), note)


def hearer(speech: SpeechEncoder, samples: NDArray[np.int16]) -> Heard:
    """Return what hears (S,) samples at 16 kHz from some ms on, as a stream does: in whole chunks."""

    @torch.inference_mode()
    def heard(begin_ms: int) -> list[float]:
        assert speech.turn_end is not None
        sound = samples[begin_ms * SPEECH_IN_HZ // 1000 :].astype(np.float32) / 32768
        features: Tensor = fbank(torch.from_numpy(sound))
        frames, _ = speech.encode_frames(features[None], torch.tensor([len(features)]), "stream")
        logits, _ = speech.turn_end(frames)
        chunk = speech.config.chunk_frames
        return logits[0, chunk - 1 :: chunk].sigmoid().tolist()

    return heard


def listen(voice: Sequence[float], heard: Heard | None = None) -> Ear:
    """Follow a sound to its end.

    Args:
        voice: probabilities of voice, frame by frame of 32 ms.
        heard: what the head makes of the utterance; None: there is none, and silence alone ends it.
    """
    limits = EndpointingLimits()
    endpointing = Endpointing(limits)
    begin_ms, finished = 0, list[float]()
    has_heard = False
    for index, probability in enumerate(voice, 1):
        known: float | None = None
        if endpointing.is_asking:
            known = known_at(index * FRAME_MS - begin_ms, endpointing.silent_ms + FRAME_MS, finished)
        decision = endpointing.hear(probability, is_answering=False, finished=known)
        if decision is Decision.STARTED:
            has_heard = True
            begin_ms = max(0, index * FRAME_MS - endpointing.onset_age_ms - limits.prefix_ms)
            finished = list(heard(begin_ms)) if heard is not None else []
    if not has_heard:
        return Ear.DEAF
    return Ear.OPEN if endpointing.is_speech else Ear.CLOSED


def known_at(duration_ms: int, silent_ms: int, finished: Sequence[float]) -> float | None:
    """Return the newest probability that is known of an utterance so long, as vita_orchestrator/hearing.py tells it.

    Args:
        duration_ms: of the utterance so far.
        silent_ms: how long ago the last voice was; what was known before it does not count.
        finished: probabilities, chunk by chunk.
    """
    chunks = worth_sending((duration_ms - FRAME_MS) * BYTES_PER_MS) // CHUNK_BYTES
    is_of_the_pause = chunks * CHUNK_MS >= duration_ms - silent_ms
    return finished[chunks - 1] if 0 < chunks <= len(finished) and is_of_the_pause else None
