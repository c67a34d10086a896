"""What moved in a video, and where."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question
from vita_training.world.scene import STEPS, Direction, Motion, Scene
from vita_training.world.things import NAMES, SHAPES, name
from vita_training.world.topics.colours import shape_to_ask_about

MOVED = Kind(
    "moved",
    question=(
        "what moved",
        "what is moving",
        "which shape moved",
        "what moved in the video",
        "what is the thing that moved",
    ),
    clause=("what moved", "which shape moved", "what is moving"),
)
HAPPENED = Kind(
    "happened",
    question=("what happened", "what happened in the video", "what do you see in the video"),
    clause=("what happened", "what happened in the video"),
    request=("describe the video", "tell me about the video"),
)
WHERE_TO = Kind(
    "where_to",
    question=(
        "where did the {shape} move",
        "which way did the {shape} move",
        "where did the {shape} go",
        "where is the {shape} moving",
    ),
    clause=("where the {shape} moved", "which way the {shape} moved"),
)
DID_MOVE = Kind(
    "did_move",
    question=("did the {shape} move", "is the {shape} moving"),
    clause=("if the {shape} moved", "whether the {shape} moved"),
)
KINDS = (MOVED, HAPPENED, WHERE_TO, DID_MOVE)
_WAYS: dict[Direction, str] = {"left": "to the left", "right": "to the right", "up": "up", "down": "down"}


def ask(asker: Asker, motion: Motion) -> Question:
    """Ask what moved, where to, or whether a shape moved."""
    mover = motion.frames[0][motion.mover]
    kind = asker.rng.choice((MOVED, HAPPENED, WHERE_TO, DID_MOVE))
    if kind in (MOVED, HAPPENED):
        return asker.ask(kind, _whole(motion), mover)
    scene = Scene(motion.frames[0])
    shape = mover.shape
    if len(scene.with_shape(shape)) > 1 or (kind == DID_MOVE and asker.rng.random() < 0.5):
        shape = shape_to_ask_about(asker, scene)
    found = next(iter(scene.with_shape(shape)), None)
    if found is None:
        return asker.ask(kind, f"There is no {shape}.", shape=shape)
    return asker.ask(kind, _reply(shape, motion.direction, kind, is_mover=found == mover), found, shape=shape)


def caption(asker: Asker, motion: Motion) -> Question:
    """Ask for all that can be said of a video in a sentence."""
    return asker.ask(HAPPENED, _whole(motion), motion.frames[0][motion.mover])


def answers() -> Iterator[str]:
    """All that this topic says."""
    yield from (f"The {named} moved {way}." for named in NAMES for way in _WAYS.values())
    for shape in SHAPES:
        for kind in (WHERE_TO, DID_MOVE):
            yield from (_reply(shape, direction, kind, is_mover=True) for direction in STEPS)
            yield _reply(shape, "up", kind, is_mover=False)


def _whole(motion: Motion) -> str:
    return f"The {name(motion.frames[0][motion.mover])} moved {_WAYS[motion.direction]}."


def _reply(shape: str, direction: Direction, kind: Kind, *, is_mover: bool) -> str:
    said = f"the {shape} moved {_WAYS[direction]}." if is_mover else f"the {shape} did not move."
    if kind == DID_MOVE:
        return f"{'Yes' if is_mover else 'No'}, {said}"
    return said[0].upper() + said[1:]
