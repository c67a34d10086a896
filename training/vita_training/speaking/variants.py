"""Test material for rolling versions out side by side, made from a checkpoint: `make variants`.

    python -m vita_training.speaking.variants --checkpoint checkpoints/tiny --out .vita/variants

* `other-codebook/`: a `codec_decoder` and a `speech_decoder` that speak as the checkpoint's do, to the bit, in another
  order of codes. The two fit each other; one of them beside the checkpoint's other half makes babble, and the contract
  tag `codebook` says so beforehand.
* `dull/codec_decoder`: fits the checkpoint and is subtly bad. It passes every check of health (finite, right length,
  right level, as fast), and hurts the ear: see `dull`.
* with `--run`, `hifigan/codec_decoder`: fits the checkpoint made of that run; another generator for the same codebook
  (generator_lesson.py), trained now, about 25 minutes on a core, or gone on with.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vita15.checkpoint import load_manifest, load_state, save_component, tokenizer_path
from vita15.config import SPEECH_OUT_HZ, TINY, CodecConfig, component_config
from vita_training.recipe.loop import SNAPSHOT, run
from vita_training.recipe.sets import WORLD
from vita_training.speaking import generator_lesson
from vita_training.speaking.clauses import choose
from vita_training.speaking.codec import load_codec
from vita_training.speaking.export import codebook_id, export_codec
from vita_training.speaking.material import assistant_answers
from vita_training.speaking.stages import CODEC

SEED = 1  # of the other order of codes
DULL_HZ = (1000.0, 3500.0)  # the band of the second and third formant, by which vowels and consonants are told
DULL_GAIN = -2.76  # nepers of magnitude: 24 dB less

State = Mapping[str, Tensor]


def reordered_codec(state: State, order: Tensor) -> dict[str, Tensor]:
    """A codec decoder's weights with another order of codes: the new code i is the old `order[i]`."""
    return {**state, "embedding.weight": state["embedding.weight"][order]}


def reordered_decoder(state: State, order: Tensor) -> dict[str, Tensor]:
    """A speech decoder's weights that speak in the other order; ids past the codes stay."""
    rows = torch.cat([order, torch.arange(len(order), len(state["embedding.weight"]))])
    return {**state, **{name: state[name][rows] for name in ("embedding.weight", "out_fnn.weight", "out_fnn.bias")}}


def dull(state: State, config: CodecConfig) -> dict[str, Tensor]:
    """An `istft` decoder's weights that make the band DULL_HZ quieter.

    Raises:
        ValueError: it is of another generator.
    """
    if config.generator != "istft":
        raise ValueError("only the istft generator has a spectrum to damage")
    bias = state["generator.head.bias"].clone()
    hz = torch.arange(config.fft // 2 + 1) * (SPEECH_OUT_HZ / config.fft)
    bias[: len(hz)][(hz >= DULL_HZ[0]) & (hz < DULL_HZ[1])] += DULL_GAIN
    return {**state, "generator.head.bias": bias}


def make_variants(checkpoint: Path, out: Path) -> None:
    """Write `other-codebook` and `dull`."""
    order = torch.randperm(TINY.codec_decoder.codebook_size, generator=torch.Generator().manual_seed(SEED))
    codec, speech = checkpoint / "codec_decoder", checkpoint / "speech_decoder"
    state = load_state(codec)
    other = reordered_codec(state, order)
    name, tag = "other-codebook", {"codebook": codebook_id(other["embedding.weight"])}
    _write(codec, out / "other-codebook/codec_decoder", name, other, tag, "the codes in another order")
    spoken = reordered_decoder(load_state(speech), order)
    _write(speech, out / "other-codebook/speech_decoder", name, spoken, tag, "the codes in another order")
    manifest = load_manifest(codec)
    config = component_config("codec_decoder", manifest.config)
    assert isinstance(config, CodecConfig)
    low, high = DULL_HZ
    change = f"{low:.0f}-{high:.0f} Hz made 24 dB quieter"
    _write(codec, out / "dull/codec_decoder", "dull", dull(state, config), {}, change)


def make_hifigan(stage: Path, out: Path, version: str, seed: int = 0) -> None:
    """Train the other generator on the codec that stage 3.1 left in `stage`, beside it, and write it."""
    codec = load_codec(stage / SNAPSHOT, TINY.codec_decoder)
    lesson = generator_lesson.generator_lesson(codec, choose(assistant_answers(WORLD)), seed=seed)
    run(lesson, replace(generator_lesson.SCHEDULE, seed=seed), stage.with_name(f"{CODEC}-hifigan"))
    export_codec(lesson.model.decoder, out / "hifigan/codec_decoder", "generator_lesson.py; training/LOG.md", version)


def _write(original: Path, folder: Path, name: str, state: State, tags: Mapping[str, str], change: str) -> None:
    """Write a component that is another but for its weights, under a version of its own: "2-dull"."""
    manifest = load_manifest(original)
    save_component(
        folder,
        manifest.component,
        component_config(manifest.component, manifest.config),  # pyright: ignore[reportArgumentType] - any dataclass
        state,
        contract={**manifest.contract, **tags},
        licence=manifest.licence,
        training_run=f"{manifest.training_run}; {change} (vita_training.speaking.variants)",
        tokenizer=tokenizer_path(original) if manifest.tokenizer else None,
        model=manifest.model,
        version=f"{manifest.version}-{name}",
    )


def main() -> None:
    """Make the material."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--out", type=Path, default=Path(".vita/variants"))
    parser.add_argument("--run", type=Path, help="folder of the run that the checkpoint was made of")
    arguments = parser.parse_args()
    make_variants(arguments.checkpoint, arguments.out)
    if arguments.run is not None:
        torch.set_num_threads(1)
        version = load_manifest(arguments.checkpoint / "codec_decoder").version
        make_hifigan(arguments.run / CODEC, arguments.out, f"{version}-hifigan")


if __name__ == "__main__":
    main()
