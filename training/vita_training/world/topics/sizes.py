"""How big something is, and which of two is bigger."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from vita_training.data.sample import Thing
from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene, is_clearly_bigger
from vita_training.world.things import NAMES, SHAPES, name, size

BIGGER = Kind(
    "bigger",
    question=(
        "which is bigger, the {one} or the {other}",
        "what is bigger, the {one} or the {other}",
        "is the {one} or the {other} bigger",
        "which one is bigger, the {one} or the {other}",
    ),
    clause=("which is bigger, the {one} or the {other}",),
)
SMALLER = Kind(
    "smaller",
    question=(
        "which is smaller, the {one} or the {other}",
        "what is smaller, the {one} or the {other}",
        "is the {one} or the {other} smaller",
    ),
    clause=("which is smaller, the {one} or the {other}",),
)
IS_BIGGER = Kind(
    "is_bigger",
    question=("is the {one} bigger than the {other}", "would you say the {one} is bigger than the {other}"),
    clause=("if the {one} is bigger than the {other}",),
)
SIZE = Kind(
    "size",
    question=("is the {shape} big or small", "how big is the {shape}", "what size is the {shape}"),
    clause=("how big the {shape} is", "if the {shape} is big or small"),
)
BIGGEST = Kind(
    "biggest",
    question=("what is the biggest shape", "which shape is the biggest", "what is the biggest thing"),
    clause=("which shape is the biggest", "what the biggest shape is"),
)
SMALLEST = Kind(
    "smallest",
    question=("what is the smallest shape", "which shape is the smallest", "what is the smallest thing"),
    clause=("which shape is the smallest", "what the smallest shape is"),
)
SIZE_SHARE = 0.4  # of scenes in which nothing is compared, the size of one thing is asked for
KINDS = (BIGGER, SMALLER, IS_BIGGER, SIZE, BIGGEST, SMALLEST)


def ask(asker: Asker, scene: Scene) -> Question | None:
    """Compare two things whose sizes differ clearly, or ask for the size of one."""
    rng = asker.rng
    single = [thing for thing in scene.things if len(scene.with_shape(thing.shape)) == 1]
    pairs = [(big, small) for big, small in itertools.permutations(single, 2) if is_clearly_bigger(big, small)]
    if pairs and rng.random() < 0.75:
        return _compare(asker, *rng.choice(pairs))
    extreme = _extreme(asker, scene)
    if extreme is not None and rng.random() < 0.5:
        return extreme
    if not single or rng.random() >= SIZE_SHARE:
        return extreme
    thing = rng.choice(single)
    return asker.ask(SIZE, f"The {thing.shape} is {size(thing)}.", thing, shape=thing.shape)


def answers() -> Iterator[str]:
    """All that this topic says."""
    for shape in SHAPES:
        yield from (f"The {shape} is {word}." for word in ("big", "small", "bigger", "smaller"))
        yield from (f"{reply}, the {shape} is bigger." for reply in ("Yes", "No"))
    yield from (f"The {named} is the {most}." for named in NAMES for most in ("biggest", "smallest"))


def _compare(asker: Asker, big: Thing, small: Thing) -> Question:
    one, other = (big, small) if asker.rng.random() < 0.5 else (small, big)
    slots = {"one": one.shape, "other": other.shape}
    kind = asker.rng.choice((BIGGER, SMALLER, IS_BIGGER))
    if kind == BIGGER:
        return asker.ask(kind, f"The {big.shape} is bigger.", big, **slots)
    if kind == SMALLER:
        return asker.ask(kind, f"The {small.shape} is smaller.", small, **slots)
    return asker.ask(kind, f"{'Yes' if one is big else 'No'}, the {big.shape} is bigger.", big, **slots)


def _extreme(asker: Asker, scene: Scene) -> Question | None:
    """Ask for the biggest or the smallest, where it differs clearly from the next."""
    ranked = sorted(scene.things, key=lambda thing: thing.radius)
    if len(ranked) < 2:
        return None
    options: list[Question] = []
    if is_clearly_bigger(ranked[-1], ranked[-2]):
        options.append(asker.ask(BIGGEST, f"The {name(ranked[-1])} is the biggest.", ranked[-1]))
    if is_clearly_bigger(ranked[1], ranked[0]):
        options.append(asker.ask(SMALLEST, f"The {name(ranked[0])} is the smallest.", ranked[0]))
    return asker.rng.choice(options) if options else None
