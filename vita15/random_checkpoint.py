"""Write a checkpoint of random weights: `python -m vita15.random_checkpoint --config tiny --seed 0 --out DIR`.

It says nothing sensible, but it has every part, size and file of a trained one: what tests of the serving need.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from vita15.checkpoint import save_component
from vita15.codec import CodecDecoder
from vita15.config import CONFIGS, VitaConfig
from vita15.llm import build_llm
from vita15.speech_decoder import SpeechDecoder
from vita15.speech_encoder import SpeechEncoder
from vita15.tokenizer import SPECIAL_TOKENS, byte_level_tokenizer
from vita15.tool_format import CALL_MARKS
from vita15.vision_encoder import VisionEncoder

BUILDERS: dict[str, Callable[[VitaConfig], nn.Module]] = {
    "vision_encoder": lambda config: VisionEncoder(config.vision_encoder),
    "speech_encoder": lambda config: _normalised(SpeechEncoder(config.speech_encoder)),
    "llm": lambda config: build_llm(config.llm),
    "speech_decoder": lambda config: SpeechDecoder(config.speech_decoder),
    "codec_decoder": lambda config: CodecDecoder(config.codec_decoder),
}
WITH_TOKENIZER = ("llm", "speech_decoder")
LICENCE = "Apache-2.0"


def write_random_checkpoint(config: VitaConfig, seed: int, out: Path, tokenizer: Path | None = None) -> None:
    """Write all five components under `out`; the same seed gives the same weights.

    Args:
        config: their sizes.
        seed: of the weights.
        out: folder to be made.
        tokenizer: a `tokenizer.json` to copy; a byte-level one is built if none is given.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if tokenizer is None:
            tokenizer = Path(scratch) / "tokenizer.json"
            byte_level_tokenizer(config.llm.vocab, [*SPECIAL_TOKENS, *CALL_MARKS]).save(str(tokenizer))
        for index, (component, build) in enumerate(BUILDERS.items()):
            torch.manual_seed(1000 * seed + index)
            save_component(
                out / component,
                component,
                getattr(config, component),
                build(config).state_dict(),
                contract=contract_tags(component, f"{config.name}-random-{seed}"),
                licence=LICENCE,
                training_run=f"none: random weights, seed {seed}",
                tokenizer=tokenizer if component in WITH_TOKENIZER else None,
                model=config.name,
            )


def contract_tags(component: str, name: str) -> dict[str, str]:
    """Name what the neighbours of a component must agree with it on (docs/components.md)."""
    tags = {
        "vision_encoder": ("embedding_space",),
        "speech_encoder": ("embedding_space",),
        "llm": ("embedding_space", "text"),
        "speech_decoder": ("text", "codebook"),
        "codec_decoder": ("codebook",),
    }
    # The text contract is about languages and spelling, not about weights: all our checkpoints share it.
    return {tag: "en-1" if tag == "text" else name for tag in tags[component]}


def _normalised(encoder: SpeechEncoder) -> SpeechEncoder:
    """Give typical speech statistics (docs/model.md, 2.1), so that random weights see values of a usual size."""
    encoder.mean.fill_(14.0)
    encoder.inverse_deviation.fill_(0.3)
    return encoder


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write a checkpoint of random weights.")
    parser.add_argument("--config", choices=sorted(CONFIGS), default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json to copy")
    arguments = parser.parse_args()
    write_random_checkpoint(CONFIGS[arguments.config], arguments.seed, arguments.out, arguments.tokenizer)


if __name__ == "__main__":
    main()
