"""Write what the stages taught as components that are served: `python -m vita_training.recipe.export --out DIR`.

A component carries contract tags that say what it fits: the vision and the speech encoder fit the language model whose
text table they were trained against.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from vita15.checkpoint import ComponentConfig, save_component
from vita15.tokenizer import Tokenizer
from vita_training.recipe import snapshot
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.configuration import load_config, prepare_tokenizer
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.stages import STAGES
from vita_training.recipe.teach import Setting, load_assistant
from vita_training.speaking.stages import export_speech

LICENCE = "Apache-2.0"
TEXT_CONTRACT = "en-1"  # lower-case English clauses, numbers spelled out


def export_assistant(setting: Setting, tokenizer: Path, out: Path, version: str) -> None:
    """Write `vision_encoder`, `speech_encoder` and `llm`.

    Raises:
        ValueError: a stage is not finished.
    """
    assistant = load_assistant(setting, list(STAGES.values()))
    space = embedding_space(assistant)
    parts = {
        "vision_encoder": (setting.config.vision_encoder, assistant.vision, {}),
        "speech_encoder": (setting.config.speech_encoder, assistant.speech, {}),
        "llm": (setting.config.llm, assistant.llm, {"text": TEXT_CONTRACT}),
    }
    for name, (config, module, tags) in parts.items():
        save_component(
            out / name,
            name,
            cast(ComponentConfig, config),  # frozen dataclasses are, but pyright cannot see it through a Protocol
            cast(dict[str, Tensor], module.state_dict()),
            contract={"embedding_space": space, **tags},
            licence=LICENCE,
            training_run=training_run(setting),
            tokenizer=tokenizer if name == "llm" else None,
            model=setting.config.name,
            version=version,
        )


def embedding_space(assistant: Assistant) -> str:
    """Name an embedding space by the text table that it is aligned with: encoders of another must not match."""
    table = assistant.llm.model.embed_tokens.weight.detach().to(torch.float16).numpy()
    return f"{assistant.config.name}-{hashlib.sha256(table.tobytes()).hexdigest()[:12]}"


def training_run(setting: Setting) -> str:
    """Say in a line how the weights came to be."""
    runs = [snapshot.read_progress(setting.folder / name / SNAPSHOT) for name in STAGES]
    steps, minutes = sum(run.step for run in runs), sum(run.seconds for run in runs) / 60
    stages = f"stages {', '.join(STAGES)}"
    return f"{stages}; data {setting.data}, seed {setting.seed}: {steps} steps, {minutes:.0f} min; training/LOG.md"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--folder", type=Path, default=Path(".vita/training/tiny"), help="of the run")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json; otherwise the run's own")
    parser.add_argument("--seed", type=int, default=0, help="of the run")
    parser.add_argument("--version", default="2")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    tokenizer: Path = options.tokenizer or prepare_tokenizer(options.folder)
    vocabulary = Tokenizer.from_file(tokenizer)
    setting = Setting(load_config(options.config, vocabulary), vocabulary, options.folder, seed=options.seed)
    export_assistant(setting, tokenizer, options.out, options.version)
    export_speech(setting, tokenizer, options.out)


if __name__ == "__main__":
    main()
