"""Seeing, videos, memory and tools: held-out conversations, and how many answers say what is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from vita_training.data.sample import AUDIO, Sample
from vita_training.world.patterns import is_held_out
from vita_training.world.sources import WorldSource, questions, spoken_questions
from vita_training.world.topics import (
    colours,
    counts,
    descriptions,
    follow_ups,
    memory,
    movement,
    places,
    presence,
    shapes,
    sizes,
)

from vita_evaluation.quality.conversations import Turn, converse, turns_of
from vita_evaluation.quality.intervals import Interval, share
from vita_evaluation.quality.material import Material, NotMeasurable, draw
from vita_evaluation.quality.table import Finding

QUESTIONS = 500  # ± 2 points at 95 %
FILMS = 300  # ± 3.5 points at 90 %
TALKS = 250  # of four turns and more, about pictures, and as many about nothing
TURNS = 4
TOOL_QUESTIONS = 400  # ± 4 points at 80 %
SIGHT_TOPICS = (colours, shapes, counts, presence, places, sizes, descriptions)
SIGHTS = frozenset(kind.name for topic in SIGHT_TOPICS for kind in topic.KINDS)
MOVEMENTS = frozenset(kind.name for kind in movement.KINDS)
RECALLS = frozenset((memory.ASK_NAME.name, memory.ASK_NUMBER.name))
FOLLOW_UPS = frozenset(kind.name for kind in follow_ups.KINDS)
UNTOLD = "You have not told me"  # no earlier turn is needed to say so

Outcome = tuple[str, bool]  # of a turn: its kind, and whether it went right


def seeing(material: Material) -> Iterator[Finding]:
    """Ask about pictures, typed and aloud: the first question of a conversation."""
    typed = questions(0, is_held_out=True, subject="picture")
    spoken = spoken_questions(0, recordings=material.recordings, is_held_out=True, subject="picture")
    yield _first_answers("seeing.typed", material, typed, SIGHTS)
    yield _first_answers("seeing.spoken", material, spoken, SIGHTS, is_spoken=True)


def video(material: Material) -> Iterator[Finding]:
    """Ask what moved where."""
    source = questions(0, is_held_out=True, subject="video")
    yield _first_answers("video.typed", material, source, MOVEMENTS, count=FILMS)


def remembering(material: Material) -> Iterator[Finding]:
    """Hold conversations of four turns with the model's own answers in them."""
    later: list[Outcome] = []
    whole: list[bool] = []
    for subject in ("picture", "talk"):
        source = questions(0, is_held_out=True, subject=subject)
        samples = list(draw(source, material.count(TALKS), f"conversations, {subject}", _is_remembering))
        scripts = [converse(material.assistant, sample, TURNS) for sample in samples]
        for sample, talk in zip(samples, material.assistant.hold(scripts, f"memory, {subject}"), strict=True):
            turns = turns_of(sample)[:TURNS]
            # A conversation that a wrong call ended is not asked any further: what it still had to answer is wrong.
            right = [*(exchange.is_right for exchange in talk), *[False] * (len(turns) - len(talk))]
            later += [(turns[index].kind, right[index]) for index in later_turns(turns)]
            whole.append(all(right))
    yield Finding("memory.answers", _share(later), len(later), _by_kind(later))
    yield Finding("memory.whole", share(sum(whole), len(whole)), len(whole))


def later_turns(turns: Sequence[Turn]) -> list[int]:
    """Find the turns that cannot be answered without those before, in wordings that training never meets."""
    return [
        index
        for index, (_, turn) in enumerate(pairwise(turns), 1)
        if (turn.kind in FOLLOW_UPS or (turn.kind in RECALLS and not turn.answer.startswith(UNTOLD)))
        and is_held_out(turn.asked)
    ]


def tools(material: Material) -> Iterator[Finding]:
    """Let tools be called: the first call of a conversation, and the answer made of what the tool said."""
    if material.assistant.tokenizer.call_ids is None:
        raise NotMeasurable("this checkpoint's vocabulary has no marks for calls")
    source = questions(0, is_held_out=True, subject="tools")
    samples = list(draw(source, material.count(TOOL_QUESTIONS), "tools", _has_call))
    wanted = [_first_call(sample) for sample in samples]
    scripts = [converse(material.assistant, sample, index + 1) for sample, index in zip(samples, wanted, strict=True)]
    whole: list[Outcome] = []
    called: list[bool] = []
    for sample, index, talk in zip(samples, wanted, material.assistant.hold(scripts, "tools"), strict=True):
        # A conversation that a wrong call ended before is not asked any further: that is wrong, too.
        last = talk[index] if len(talk) > index else None
        whole.append((turns_of(sample)[index].kind, last is not None and last.is_right))
        called.append(last is not None and last.is_call_right)
    yield Finding("tools.whole", _share(whole), len(whole), _by_kind(whole))
    yield Finding("tools.calls", share(sum(called), len(called)), len(called))


def _first_answers(
    key: str,
    material: Material,
    source: WorldSource,
    kinds: frozenset[str],
    *,
    is_spoken: bool = False,
    count: int = QUESTIONS,
) -> Finding:
    """Ask the first questions of conversations, where they are of these kinds."""

    def is_wanted(sample: Sample) -> bool:
        first = turns_of(sample)[0]
        return first.kind in kinds and (AUDIO in first.asked) == is_spoken

    samples = draw(source, material.count(count), key, is_wanted)
    talks = material.assistant.hold([converse(material.assistant, sample, 1) for sample in samples], key)
    first = [(exchange.turn.kind, exchange.is_right) for talk in talks for exchange in talk]
    return Finding(key, _share(first), len(first), _by_kind(first))


def _is_remembering(sample: Sample) -> bool:
    turns = turns_of(sample)
    return len(turns) >= TURNS and bool(later_turns(turns[:TURNS]))


def _has_call(sample: Sample) -> bool:
    return any(turn.call for turn in turns_of(sample))


def _first_call(sample: Sample) -> int:
    return next(index for index, turn in enumerate(turns_of(sample)) if turn.call)


def _share(outcomes: Sequence[Outcome]) -> Interval:
    return share(sum(is_right for _, is_right in outcomes), len(outcomes))


def _by_kind(outcomes: Sequence[Outcome]) -> str:
    """How many of each kind were right, worst first."""
    by_kind: dict[str, list[bool]] = {}
    for kind, is_right in outcomes:
        by_kind.setdefault(kind, []).append(is_right)
    worst = sorted(by_kind.items(), key=lambda entry: (sum(entry[1]) / len(entry[1]), entry[0]))
    return ", ".join(f"{kind} {sum(right)}/{len(right)}" for kind, right in worst)
