"""Write what the stages taught as components that are served: `python -m vita_training.recipe.export --out DIR`.

A component carries contract tags that say what it fits: the vision and the speech encoder fit the language model whose
text table they were trained against. Of a run that started from a checkpoint (`--start`), the components that its
stages trained are written and no others; those whose tags stayed are served beside the checkpoint's.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from vita15.checkpoint import ComponentConfig, Manifest, save_component
from vita15.errors import CheckpointError
from vita15.tokenizer import Tokenizer
from vita_training.recipe import snapshot
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.configuration import load_config, prepare_tokenizer
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import is_within
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.stages import STAGES
from vita_training.recipe.start import MODULES, Start, check_start, stages_left
from vita_training.recipe.teach import PART, Setting, load_assistant, training_run
from vita_training.recipe.upstream import check_upstream
from vita_training.speaking.export import LICENCE, TEXT_CONTRACT
from vita_training.speaking.stages import export_speech

TABLE = "llm.model.embed_tokens.weight"


def export_assistant(setting: Setting, tokenizer: Path, out: Path, version: str) -> list[Manifest]:
    """Write `vision_encoder`, `speech_encoder` and `llm`; of a run with a start, those that its stages trained.

    Raises:
        RecipeError: a stage is not finished, and nothing stands in for it.
    """
    taught = list(STAGES.values())
    if setting.start is not None:
        taught, _ = stages_left(setting.folder, taught)
    trained = {name for stage in taught for name in snapshot.trained(setting.folder / stage.name / SNAPSHOT, PART)}
    changed = [name for name, part in MODULES.items() if any(is_within(tensor, (part,)) for tensor in trained)]
    if not changed:
        return []
    assistant = load_assistant(setting, list(STAGES.values()))
    space = embedding_space(assistant, None if TABLE in trained else setting.start)
    run = training_run(setting, [stage.name for stage in taught])
    written: list[Manifest] = []
    for name in changed:
        before = None if setting.start is None else setting.start.manifests.get(name)
        tags = dict(before.contract) if before else {"text": TEXT_CONTRACT} if name == "llm" else {}
        manifest = save_component(
            out / name,
            name,
            cast(ComponentConfig, getattr(setting.config, name)),
            cast(dict[str, Tensor], assistant.get_submodule(MODULES[name]).state_dict()),
            contract={**tags, "embedding_space": space},
            licence=before.licence if before else LICENCE,
            training_run=run,
            tokenizer=tokenizer if name == "llm" else None,
            model=setting.config.name,
            version=version,
        )
        written.append(manifest)
    return written


def embedding_space(assistant: Assistant, start: Start | None) -> str:
    """Name an embedding space by the text table that it is aligned with: encoders of another must not match.

    Args:
        assistant: holds the table.
        start: where the table comes from; its name for the space is kept.
    """
    if start is not None and "llm" in start.manifests:
        return start.manifests["llm"].contract["embedding_space"]
    table = assistant.llm.model.embed_tokens.weight.detach().to(torch.float16).numpy()
    return f"{assistant.config.name}-{hashlib.sha256(table.tobytes()).hexdigest()[:12]}"


def fits(manifest: Manifest, start: Start) -> str:
    """Say in a line whether a component fits what the run started from."""
    before = start.manifests.get(manifest.component)
    tags = [other.contract for name, other in start.manifests.items() if name != manifest.component]
    moved = [tag for tag, value in manifest.contract.items() if any(other.get(tag, value) != value for other in tags)]
    name = f"{manifest.component} {manifest.version}"
    if moved:
        return f"{name}: fits only components of its own {' and '.join(moved)}, to be rolled out together"
    return f"{name}: fits the checkpoint{f', beside its version {before.version}' if before else ''}"


def main() -> None:
    """Run the command."""
    options = _parser().parse_args()
    try:
        setting, tokenizer = _setting(options)
        check_upstream(setting.folder, has_start=setting.start is not None)
        written = export_assistant(setting, tokenizer, options.out, options.version)
        written += export_speech(setting, tokenizer, options.out, options.version)
        if not written:
            raise RecipeError(f"{options.folder}: no stage is finished")
    except (RecipeError, CheckpointError) as error:
        sys.exit(str(error))
    if setting.start is not None:
        for manifest in written:
            print(fits(manifest, setting.start))


def _setting(options: argparse.Namespace) -> tuple[Setting, Path]:
    start = Start.open(options.start) if options.start else None
    check_start(start, options.folder)
    tokenizer: Path = options.tokenizer or prepare_tokenizer(options.folder, start)
    vocabulary = Tokenizer.from_file(tokenizer)
    config = load_config(options.config, vocabulary, start)
    return Setting(config, vocabulary, options.folder, seed=options.seed, start=start), tokenizer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, help="the checkpoint that the run started from")
    parser.add_argument("--config", default="", help="of the run")
    parser.add_argument("--folder", type=Path, default=Path(".vita/training/tiny"), help="of the run")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json; otherwise the run's own")
    parser.add_argument("--seed", type=int, default=0, help="of the run: draws what none of its stages trained")
    parser.add_argument("--version", required=True, help="of the components: one that no other weights have")
    parser.add_argument("--out", type=Path, required=True)
    return parser


if __name__ == "__main__":
    main()
