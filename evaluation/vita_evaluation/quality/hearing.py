"""Hearing: held-out speech written down by the language model, behind the vectors for transcription (stage 2.1b)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import jiwer
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vita_training.data.sample import Sample
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.sources import transcripts

from vita15.checkpoint import load_into, load_manifest
from vita15.config import SpeechEncoderConfig
from vita15.fbank import fbank
from vita15.speech_encoder import SpeechEncoder
from vita_evaluation import offline
from vita_evaluation.content import content
from vita_evaluation.offline import Assistant, Script
from vita_evaluation.quality.intervals import rate
from vita_evaluation.quality.material import Material, NotMeasurable, draw, is_new, sound_of
from vita_evaluation.quality.table import Finding

CLIPS = 400
NOISE_DB = 10.0
Hears = Literal["stream", "full"]


def hearing(material: Material) -> Iterator[Finding]:
    """Measure word error rates, clean and noisy, streaming and not."""
    speech = load_speech_encoder(material)
    if speech.prompt is None:
        raise NotMeasurable("this checkpoint has no vectors for transcription (prompt_count is 0)")
    count = material.count(CLIPS)
    for key, worse_key, ratio_db in (
        ("hearing.clean", "hearing.streaming", math.inf),
        ("hearing.noisy", "hearing.streaming_noisy", NOISE_DB),
    ):
        source = transcripts(0, recordings=material.recordings, is_held_out=True, ratio_db=ratio_db)
        clips = list(draw(source, count, "clips", is_new))
        words = [len(content(clip.audio[0].text)) for clip in clips]
        streamed, whole = (_errors(material.assistant, speech, clips, how) for how in ("stream", "full"))
        yield Finding(key, rate(streamed, words), count)
        worse = [one - other for one, other in zip(streamed, whole, strict=True)]
        note = f"full attention: {rate(whole, words).value * 100:.1f} %; pairs of the same clips"
        yield Finding(worse_key, rate(worse, words), count, note)


def load_speech_encoder(material: Material) -> SpeechEncoder:
    """Load the speech encoder as a module, for what its engine does not do."""
    folder = material.checkpoint / "speech_encoder"
    config = load_manifest(folder).component_config()
    assert isinstance(config, SpeechEncoderConfig)
    return load_into(SpeechEncoder(config), folder).requires_grad_(False)


def transcribe(assistant: Assistant, prompt: Tensor, rows: Tensor) -> Script[str]:
    """Write down what was heard: `prompt` (count, width) are the vectors for it, `rows` (n, width) the clip.

    Laid out as in vita15/transcription.py; the state mark is given, not chosen.
    """
    yield from offline.say("system", SYSTEM_PROMPT)
    yield from offline.ask(speech=torch.cat([prompt, rows]))
    yield from offline.say("assistant", "", "speech")
    return (yield from offline.answer(())).text


def word_errors(said: str, heard: str) -> int:
    """Words put in, left out or mistaken."""
    spoken, written = " ".join(content(said)), " ".join(content(heard))
    counts = jiwer.process_words(spoken, written)
    return counts.substitutions + counts.deletions + counts.insertions


def _errors(assistant: Assistant, speech: SpeechEncoder, clips: Sequence[Sample], how: Hears) -> list[int]:
    """Word errors of each clip."""
    assert speech.prompt is not None

    def script(sample: Sample) -> Script[str]:
        samples = sound_of(sample)
        rows = assistant.hear(samples) if how == "stream" else _whole(speech, samples)
        return (yield from transcribe(assistant, prompt, rows))

    prompt = speech.prompt.weight
    written = assistant.hold([script(sample) for sample in clips], f"hearing, {how}")
    return [word_errors(sample.audio[0].text, text) for sample, text in zip(clips, written, strict=True)]


@torch.inference_mode()
def _whole(speech: SpeechEncoder, samples: NDArray[np.int16]) -> Tensor:
    """Hear a clip with full attention: (n, width)."""
    features = fbank(torch.from_numpy(samples.astype(np.float32) / 32768))
    rows, _ = speech(features[None], torch.tensor([len(features)]), "full")
    return rows[0]
