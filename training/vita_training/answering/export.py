"""Write the trained vision encoder, speech encoder and language model under `checkpoints/tiny/`.

`python -m vita_training.answering.export` after, or while, `answering.train` runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import torch

from vita15.checkpoint import ComponentConfig, save_component
from vita15.config import TINY
from vita15.random_checkpoint import contract_tags
from vita_training.answering.assistant import Assistant
from vita_training.answering.train import DEFAULT_FOLDER
from vita_training.world.tokenizer import DEFAULT_PATH as TOKENIZER_PATH

EMBEDDING_SPACE = "tiny-small-world-1"
LICENCE = "Apache-2.0"


def export(assistant: Assistant, out: Path, training_run: str) -> None:
    """Write the three components; they fit one another by their embedding space."""
    parts = {
        "vision_encoder": (TINY.vision_encoder, assistant.vision),
        "speech_encoder": (TINY.speech_encoder, assistant.speech),
        "llm": (TINY.llm, assistant.llm),
    }
    for name, (config, module) in parts.items():
        save_component(
            out / name,
            name,
            cast(ComponentConfig, config),  # frozen dataclasses are, but pyright cannot see it through a Protocol
            module.state_dict(),
            contract=contract_tags(name, EMBEDDING_SPACE),
            licence=LICENCE,
            training_run=training_run,
            tokenizer=TOKENIZER_PATH if name == "llm" else None,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/tiny"))
    options = parser.parse_args()
    stored = torch.load(options.folder / "latest.pt", weights_only=True)
    assistant = Assistant(TINY)
    assistant.load_state_dict(stored["assistant"])
    export(assistant, options.out, f"small world, {stored['step']} steps, {float(stored['minutes']):.0f} min")


if __name__ == "__main__":
    main()
