"""The codec alone: clauses sent through its codes. Its encoder is not served; it lies in the folder of stage 3.1."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from vita_training.recipe.loop import SNAPSHOT
from vita_training.speaking.codec import Codec, load_codec
from vita_training.speaking.corpus import on_the_grid, speak_all
from vita_training.speaking.export import codebook_id
from vita_training.speaking.measures import code_use, intelligibility

from vita15.checkpoint import load_manifest
from vita15.config import CodecConfig
from vita_evaluation.quality.intervals import Interval, mean
from vita_evaluation.quality.material import Material, NotMeasurable
from vita_evaluation.quality.table import Finding

CLAUSES = 150
STAGE = "3.1"


def codec(material: Material) -> Iterator[Finding]:
    """Compare clauses with what their codes make of them."""
    whole = _load(material)
    clauses = speak_all(material.voice, material.clauses.held_out[: material.count(CLAUSES)])
    similar: list[float] = []
    spoken: list[torch.Tensor] = []
    with torch.inference_mode():
        for clause in clauses:
            sound = on_the_grid(clause)
            codes = whole.codes(sound[None])
            similar.append(intelligibility(sound.numpy(), whole.decoder(codes)[0].numpy()))
            spoken.append(codes[0])
    yield Finding("codec.stoi", mean(similar), len(clauses))
    used = code_use(spoken, whole.decoder.size)
    seconds = sum(len(codes) for codes in spoken) / 40
    yield Finding("codec.use", Interval(used), len(clauses), f"codes that occur in {seconds:.0f} s of speech")


def _load(material: Material) -> Codec:
    """Load the encoder of the codec whose decoder is served."""
    snapshot = material.stage_folder(STAGE) / SNAPSHOT
    if not snapshot.exists():
        raise NotMeasurable(f"{snapshot} is missing: the codec's encoder is not served, only trained")
    manifest = load_manifest(material.checkpoint / "codec_decoder")
    config = manifest.component_config()
    assert isinstance(config, CodecConfig)
    try:
        whole = load_codec(snapshot, config)
    except (ValueError, RuntimeError) as error:  # not finished, or of other sizes
        raise NotMeasurable(f"{snapshot} is not of this codec: {str(error).splitlines()[0]}") from error
    found, served = codebook_id(whole.codebook), manifest.contract["codebook"]
    if found != served:
        raise NotMeasurable(f"the codec in {snapshot.parent} has the codebook {found}, the checkpoint {served}")
    return whole
