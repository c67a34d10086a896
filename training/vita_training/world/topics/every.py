"""The topics, as a list: each has `KINDS`, what may be asked, and `answers`, all that it says."""

from __future__ import annotations

from vita_training.world.topics import (
    arithmetic,
    colours,
    counting,
    counts,
    descriptions,
    follow_ups,
    memory,
    movement,
    places,
    presence,
    repeating,
    shapes,
    sizes,
    small_talk,
    tools,
    unknown,
)

TOPICS = (
    *(colours, shapes, counts, presence, places, sizes, descriptions, movement, follow_ups),
    *(arithmetic, counting, repeating, memory, small_talk, tools, unknown),
)
KINDS = tuple(kind for topic in TOPICS for kind in topic.KINDS)


def answers() -> list[str]:
    """List everything that the assistant may say, sentence by sentence, with numbers and times as words.

    Longer answers are these one after another. Lists of things, times between the five minutes and phrases to repeat
    are a fixed sample, because all of them would be too many.
    """
    return list(dict.fromkeys(sentence for topic in TOPICS for sentence in topic.answers()))
