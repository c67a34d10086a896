"""What is in the picture: in one sentence, or at length."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import Scene
from vita_training.world.things import MAX_THINGS, NAMES, a, name
from vita_training.world.topics.counts import COUNTED

SEE = Kind(
    "see",
    question=(
        "what do you see",
        "what can you see",
        "what is in the picture",
        "what is this",
        "what does the picture show",
        "what do you see in the picture",
    ),
    clause=("what you see", "what you can see", "what is in the picture"),
)
DESCRIBE = Kind(
    "describe",
    request=(
        "describe the picture",
        "describe what you see",
        "tell me about the picture",
        "tell me everything about the picture",
        "say everything about the picture",
    ),
)
KINDS = (SEE, DESCRIBE)
_LAST_WORDS = "That is all I can see."
LISTS_SAMPLED = 600  # of the 3,540 pairs and of the many longer lists that `answers` could hold


def ask(asker: Asker, scene: Scene) -> Question:
    """Ask for a list or a description."""
    if asker.rng.random() < 0.5:
        return asker.ask(SEE, see([name(thing) for thing in scene.things]))
    return asker.ask(DESCRIBE, describe(scene))


def see(names: Sequence[str]) -> str:
    """List the things: "I see a red circle, a blue star and an orange cross."."""
    named = [a(each) for each in names]
    return f"I see {', '.join(named[:-1])}{' and ' if len(named) > 1 else ''}{named[-1]}."


def describe(scene: Scene) -> str:
    """Say how many there are and where each is: ten seconds of speech and more, but for a lone thing."""
    each = [f"There is {a(name(thing))} {thing.place}." for thing in scene.things]
    return " ".join([_opening(len(scene.things)), *each, _LAST_WORDS])


def answers() -> Iterator[str]:
    """All that this topic says, sentence by sentence; lists by a fixed sample. (Places says "There is a … on …".)"""
    yield from (_opening(count) for count in range(1, MAX_THINGS + 1))
    yield _LAST_WORDS
    yield from (see([named]) for named in NAMES)
    rng = random.Random(0)
    yield from (see(pair) for pair in rng.sample(list(itertools.permutations(NAMES, 2)), LISTS_SAMPLED))
    yield from (see(rng.sample(NAMES, count)) for count in (3, 4) for _ in range(LISTS_SAMPLED // 2))


def _opening(count: int) -> str:
    if count == 1:
        return "There is one shape in the picture."
    return f"There are {COUNTED[count]} shapes in the picture."
