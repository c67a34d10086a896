"""Whether the stages of a run still stand on one another: one that is taught anew leaves those after it behind.

A snapshot has the digests of all that its stage left alone; what a stage before it trained of that must still be so.
What a stage trains further it holds itself, whole, so there is nothing to compare, and nothing that would not fit.
"""

from __future__ import annotations

from pathlib import Path

from vita_training.recipe import snapshot
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.stages import SPEAKING, STAGES, starts_from
from vita_training.recipe.teach import PART

TABLE = "llm.model.embed_tokens.weight"  # of the language model; the full model's speech decoder holds a copy
COPY = "decoder.embed_tokens.weight"


def check_upstream(folder: Path, *, has_start: bool = False) -> None:
    """See that all stages of a run that have begun stand on the weights that are there.

    Args:
        folder: of the run.
        has_start: ready components stand in for stages that are not in the folder.

    Raises:
        RecipeError: one was taught upon other weights, or what it starts from is not finished; it names both.
    """
    for name in (*STAGES, *SPEAKING):
        begun = snapshot.read_progress(folder / name / SNAPSHOT)
        if not begun.step:
            continue
        again = f"remove {folder / name} and teach it again"
        for before in _before(name):
            path = folder / before / SNAPSHOT
            if not snapshot.read_progress(path).is_finished and not (has_start and not path.exists()):
                raise RecipeError(
                    f"{folder}: stage {name} has begun, and {before}, on which it stands, is not there: {again}"
                )
        for before, theirs in _trained_before(folder, name, begun.frozen).items():
            moved = snapshot.differing(folder / before / SNAPSHOT, theirs)
            if moved:
                raise RecipeError(f"{folder}: stage {name} was taught upon another {before} ({moved[0]}): {again}")


def _before(name: str) -> list[str]:
    return [*SPEAKING[name]] if name in SPEAKING else [stage.name for stage in starts_from(STAGES[name])]


def _trained_before(folder: Path, name: str, frozen: dict[str, str]) -> dict[str, dict[str, str]]:
    """By the stage that trained it last before this one: the digest that each tensor had, by its name there."""
    last: dict[str, tuple[str, str]] = {}  # by what it is called here: the stage, and what it is called there
    if name in SPEAKING:
        for before in SPEAKING[name]:
            last |= {f"codec.{tensor}": (before, tensor) for tensor in snapshot.names(folder / before / SNAPSHOT)}
        for before in STAGES:
            if f"{PART}.{TABLE}" in snapshot.names(folder / before / SNAPSHOT):
                last[COPY] = (before, f"{PART}.{TABLE}")
    else:
        for before in _before(name):
            last |= {tensor: (before, tensor) for tensor in snapshot.names(folder / before / SNAPSHOT)}
    wanted: dict[str, dict[str, str]] = {}
    for tensor, (before, there) in last.items():
        if tensor in frozen:
            wanted.setdefault(before, {})[there] = frozen[tensor]
    return wanted
