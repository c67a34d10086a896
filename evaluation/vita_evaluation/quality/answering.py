"""Seeing, videos, memory and tools: held-out conversations, and how many answers say what is right."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.data.sample import AUDIO, Sample
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

from vita_evaluation.quality.conversations import Exchange, converse, turns_of
from vita_evaluation.quality.intervals import share
from vita_evaluation.quality.material import Material, NotMeasurable, draw
from vita_evaluation.quality.table import Finding

QUESTIONS = 500  # ± 2 points at 95 %
TALKS = 300  # of four turns and more
TURNS = 4
TOOL_QUESTIONS = 500  # ± 3.5 points at 80 %
SIGHT_TOPICS = (colours, shapes, counts, presence, places, sizes, descriptions)
SIGHTS = frozenset(kind.name for topic in SIGHT_TOPICS for kind in topic.KINDS)
MOVEMENTS = frozenset(kind.name for kind in movement.KINDS)
LATER = frozenset(
    [memory.ASK_NAME.name, memory.ASK_NUMBER.name, *(kind.name for kind in follow_ups.KINDS)]
)  # what cannot be answered without the turns before


def seeing(material: Material) -> Iterator[Finding]:
    """Ask about pictures, typed and aloud: the first question of a conversation."""
    typed = questions(0, is_held_out=True, subject="picture")
    spoken = spoken_questions(0, recordings=material.recordings, is_held_out=True, subject="picture")
    yield _first_answers("seeing.typed", material, typed, SIGHTS)
    yield _first_answers("seeing.spoken", material, spoken, SIGHTS, is_spoken=True)


def video(material: Material) -> Iterator[Finding]:
    """Ask what moved where."""
    source = questions(0, is_held_out=True, subject="video")
    yield _first_answers("video.typed", material, source, MOVEMENTS)


def remembering(material: Material) -> Iterator[Finding]:
    """Hold conversations of four turns with the model's own answers in them."""
    talks: list[list[Exchange]] = []
    for subject in ("picture", "talk"):
        source = questions(0, is_held_out=True, subject=subject)
        samples = draw(source, material.count(TALKS), f"conversations, {subject}", _has_later_turns)
        scripts = [converse(material.assistant, sample, TURNS) for sample in samples]
        talks += material.assistant.hold(scripts, f"memory, {subject}")
    later = [exchange for talk in talks for exchange in talk[1:] if exchange.turn.kind in LATER]
    note = _by_kind(later)
    yield Finding("memory.answers", share(sum(e.is_right for e in later), len(later)), len(later), note)
    whole = sum(len(talk) == TURNS and all(exchange.is_right for exchange in talk) for talk in talks)
    yield Finding("memory.whole", share(whole, len(talks)), len(talks))


def tools(material: Material) -> Iterator[Finding]:
    """Let tools be called: the first call of a conversation, and the answer made of what the tool said."""
    if material.assistant.tokenizer.call_ids is None:
        raise NotMeasurable("this checkpoint's vocabulary has no marks for calls")
    source = questions(0, is_held_out=True, subject="tools")
    samples = draw(source, material.count(TOOL_QUESTIONS), "tools", _has_call)
    wanted = [(sample, _first_call(sample)) for sample in samples]
    scripts = [converse(material.assistant, sample, index + 1) for sample, index in wanted]
    talks = material.assistant.hold(scripts, "tools")
    # A conversation that went wrong before is not asked any further: that is wrong, too.
    last = [talk[index] if len(talk) > index else None for talk, (_, index) in zip(talks, wanted, strict=True)]
    reached = [exchange for exchange in last if exchange is not None]
    whole, called = (sum(e.is_right for e in reached), sum(e.is_call_right for e in reached))
    yield Finding("tools.whole", share(whole, len(last)), len(last), _by_kind(reached))
    yield Finding("tools.calls", share(called, len(last)), len(last))


def _first_answers(
    key: str, material: Material, source: WorldSource, kinds: frozenset[str], *, is_spoken: bool = False
) -> Finding:
    """Ask the first questions of conversations, where they are of these kinds."""

    def is_wanted(sample: Sample) -> bool:
        first = turns_of(sample)[0]
        return first.kind in kinds and (AUDIO in first.asked) == is_spoken

    samples = draw(source, material.count(QUESTIONS), key, is_wanted)
    talks = material.assistant.hold([converse(material.assistant, sample, 1) for sample in samples], key)
    exchanges = [exchange for talk in talks for exchange in talk]
    right = sum(exchange.is_right for exchange in exchanges)
    return Finding(key, share(right, len(exchanges)), len(exchanges), _by_kind(exchanges))


def _has_later_turns(sample: Sample) -> bool:
    turns = turns_of(sample)
    return len(turns) >= TURNS and any(turn.kind in LATER for turn in turns[1:TURNS])


def _has_call(sample: Sample) -> bool:
    return any(turn.call for turn in turns_of(sample))


def _first_call(sample: Sample) -> int:
    return next(index for index, turn in enumerate(turns_of(sample)) if turn.call)


def _by_kind(exchanges: list[Exchange]) -> str:
    """How many of each kind were right, worst first."""
    by_kind: dict[str, list[bool]] = {}
    for exchange in exchanges:
        by_kind.setdefault(exchange.turn.kind, []).append(exchange.is_right)
    worst = sorted(by_kind.items(), key=lambda entry: (sum(entry[1]) / len(entry[1]), entry[0]))
    return ", ".join(f"{kind} {sum(right)}/{len(right)}" for kind, right in worst)
