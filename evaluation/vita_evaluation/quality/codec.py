"""The codec alone: clauses sent through its codes. Its encoder is not served; it lies in the folder of stage 3.1.

What makes sound of the codes is the checkpoint's `codec_decoder`, whatever its generator: `--only codec --strict`
is the gate for another version. Neither the recogniser nor STOI, which looks at envelopes band by band, hears a voice
whose colour is wrong. So the long-term spectrum is compared with espeak's, too.

Sixty held-out clauses, a codec of 3,500 steps, its spectrum damaged by `vita_training.speaking.variants.dull`:

| made quieter      | STOI  | timbre, dB        |
| ----------------- | ----- | ----------------- |
| nothing           | 0.954 | 0.7 (1.1 at most) |
| 1-3.5 kHz by 3 dB | 0.954 | 1.6               |
| by 6 dB           | 0.953 | 2.6 (2.3 at least) |
| by 24 dB (`dull`) | 0.951 | 8.0               |
| 6-12 kHz by 24 dB | 0.954 | 5.2               |
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from vita_training.recipe.loop import SNAPSHOT
from vita_training.speaking.codec import Codec, load_codec
from vita_training.speaking.corpus import on_the_grid, speak_all
from vita_training.speaking.export import codebook_id
from vita_training.speaking.measures import code_use, intelligibility
from vita_training.speaking.spectra import MEL_RESOLUTION, magnitude, mel_distance, mel_filters

from vita15.checkpoint import load_into, load_manifest
from vita15.codec import CodecDecoder
from vita15.config import SAMPLES_PER_CODE, SPEECH_OUT_HZ, TINY, CodecConfig
from vita_evaluation.quality.intervals import Interval, mean
from vita_evaluation.quality.material import Material, NotMeasurable
from vita_evaluation.quality.table import Finding

CLAUSES = 150
STAGE = "3.1"
SILENCE = 1e-8  # power: -80 dB of full scale


def codec(material: Material) -> Iterator[Finding]:
    """Compare clauses with what their codes make of them."""
    folder = material.checkpoint / "codec_decoder"
    whole, decoder = _encoder_of(folder, material.stage_folder(STAGE) / SNAPSHOT), _load(folder)
    clauses = speak_all(material.voice, material.clauses.held_out[: material.count(CLAUSES)])
    similar: list[float] = []
    timbre: list[float] = []
    mel: list[float] = []
    spoken: list[Tensor] = []
    with torch.inference_mode():
        for clause in clauses:
            sound = on_the_grid(clause)
            spoken.append(whole.codes(sound[None])[0])
            made = decoder(spoken[-1][None])[0]
            similar.append(intelligibility(sound.numpy(), made.numpy()))
            timbre.append(timbre_distance_db(made, sound))
            mel.append(mel_distance(made[None], sound[None]).item())
    yield Finding("codec.stoi", mean(similar), len(clauses))
    used = code_use(spoken, whole.decoder.size)
    seconds = sum(len(codes) for codes in spoken) * SAMPLES_PER_CODE / SPEECH_OUT_HZ
    yield Finding("codec.use", Interval(used), len(clauses), f"codes that occur in {seconds:.0f} s of speech")
    yield Finding("codec.timbre", mean(timbre), len(clauses))
    yield Finding("codec.mel", mean(mel), len(clauses))


def timbre_distance_db(made: Tensor, true: Tensor) -> float:
    """How far the long-term spectra of two sounds (S,) at 24 kHz are apart: dB, mean over the bands of a mel scale."""
    ours, theirs = (_long_term_db(sound) for sound in (made, true))
    return (ours - theirs).abs().mean().item()


def _long_term_db(sound: Tensor) -> Tensor:
    """Mean power of each band of a mel scale, (80,) dB."""
    power = magnitude(sound[None], *MEL_RESOLUTION)[0].square()
    return 10 * torch.log10((mel_filters(MEL_RESOLUTION[0]) @ power).mean(1) + SILENCE)


def _load(folder: Path) -> CodecDecoder:
    config = load_manifest(folder).component_config()
    assert isinstance(config, CodecConfig)
    return load_into(CodecDecoder(config), folder).requires_grad_(False)


def _encoder_of(folder: Path, snapshot: Path) -> Codec:
    """Load the codec that the codes of a `codec_decoder` come from."""
    if not snapshot.exists():
        raise NotMeasurable(f"{snapshot} is missing: the codec's encoder is not served, only trained")
    try:
        whole = load_codec(snapshot, TINY.codec_decoder)
    except (ValueError, RuntimeError) as error:  # not finished, or of other sizes
        raise NotMeasurable(f"{snapshot} is not of this codec: {str(error).splitlines()[0]}") from error
    found, served = codebook_id(whole.codebook), load_manifest(folder).contract["codebook"]
    if found != served:
        raise NotMeasurable(f"the codec in {snapshot.parent} has the codebook {found}, the checkpoint {served}")
    return whole
