"""Teach one stage: `python -m vita_training.recipe 1.3 --config tiny --data world --folder .vita/training/tiny`.

It goes on from the last snapshot, starts from the stages before it in the same folder, and does nothing if it is
finished. With `--start CHECKPOINT` that checkpoint's components stand in for stages that are not in the folder. Under
`torchrun` it is data-parallel.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from vita15.errors import CheckpointError
from vita15.tokenizer import Tokenizer
from vita_training.recipe.configuration import can_compile, load_config, prepare_tokenizer
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import FrozenChanged
from vita_training.recipe.run_log import FolderTakenError
from vita_training.recipe.sets import WORLD
from vita_training.recipe.snapshot import Progress
from vita_training.recipe.stages import ALONE, STAGES, narrowed
from vita_training.recipe.start import Start, check_start
from vita_training.recipe.teach import Setting, teach
from vita_training.speaking.stages import SPEAKING_SCHEDULES, teach_speaking

DEFAULT_FOLDER = Path(".vita/training/tiny")


def main() -> None:
    """Run the command."""
    options = _parser().parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        done = _teach(options.stage, _setting(options), options)
    except (RecipeError, CheckpointError, FolderTakenError, FrozenChanged) as error:
        sys.exit(f"stage {options.stage}: {error}")
    print(f"stage {options.stage}: {done.step} steps in {done.seconds / 60:.1f} min, {done.skipped} left out")


def _setting(options: argparse.Namespace) -> Setting:
    start = Start.open(options.start) if options.start else None
    check_start(start, options.folder)
    tokenizer = Tokenizer.from_file(options.tokenizer or prepare_tokenizer(options.folder, start))
    config = load_config(options.config, tokenizer, start)
    return Setting(
        config=config,
        tokenizer=tokenizer,
        folder=options.folder,
        data=options.data,
        seed=options.seed,
        batch_length=options.batch_length,
        is_compiled=options.compile if options.compile is not None else config.name == "tiny" and can_compile(),
        is_checkpointed=options.checkpoint_gradients,
        dtype=getattr(torch, options.dtype),
        has_masters=not options.no_master_weights,
        start=start,
    )


def _teach(name: str, setting: Setting, options: argparse.Namespace) -> Progress:
    speaks = name in SPEAKING_SCHEDULES
    schedule = SPEAKING_SCHEDULES[name] if speaks else STAGES[name].schedule
    if not options.steps and not setting.is_tiny:
        raise RecipeError(
            f"--steps is needed: the table's {schedule.steps} are the tiny model's, not {setting.config.name}'s"
        )
    data = str(Path(options.data))  # "sets/" is "sets"
    schedule = replace(schedule, accumulation=options.accumulation, peak=options.rate, data=data)
    schedule = replace(schedule, steps=options.steps) if options.steps else schedule.shortened(options.share)
    if speaks:
        if options.only:
            raise RecipeError(f"trains one component as it is; --only is for {', '.join(STAGES)}")
        return teach_speaking(name, setting, schedule)
    return teach(narrowed(STAGES[name], options.only) if options.only else STAGES[name], setting, schedule)


def _parser() -> argparse.ArgumentParser:
    titles = "; ".join(f"{stage.name} {stage.title}" for stage in STAGES.values())
    titles += "; 3.1 codec; 3.2 speech decoder"
    parser = argparse.ArgumentParser(prog="vita_training.recipe", description=__doc__)
    parser.add_argument("stage", choices=sorted({**STAGES, **SPEAKING_SCHEDULES}), help=f"one of {titles}")
    parser.add_argument("--start", type=Path, help="a checkpoint whose components stand in for the stages before")
    parser.add_argument("--only", choices=sorted(ALONE), help="train no more of the stage than this component")
    parser.add_argument("--config", default="", help="tiny, vita-1.5, a JSON file; otherwise --start's, or tiny")
    parser.add_argument("--data", default=WORLD, help="world, a folder of <set>.json, or one file for all sets")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="of the run, with a folder for each stage")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json; otherwise the small world's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0, help="in place of the table's, which are tiny's alone")
    parser.add_argument("--share", type=float, default=1.0, help="of the table's steps")
    parser.add_argument("--rate", type=float, default=1.0, help="of the table's peak rates")
    parser.add_argument("--batch-length", type=int, default=0, help="positions, tiles or frames a batch")
    parser.add_argument("--accumulation", type=int, default=1, help="batches a step")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="torch.compile; tiny: where it can")
    parser.add_argument("--checkpoint-gradients", action="store_true", help="slower, in less memory")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of frozen weights")
    parser.add_argument("--no-master-weights", action="store_true", help="--dtype for trained weights, too: for trials")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it likes")
    return parser


if __name__ == "__main__":
    main()
