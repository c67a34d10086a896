"""One exchange: what is asked and the one right answer."""

from __future__ import annotations

from dataclasses import dataclass

from vita_training.data.sample import Thing


@dataclass(frozen=True, slots=True)
class Question:
    """A question in one of its wordings, or a remark that is answered."""

    kind: str  # what kind of thing is asked; evaluation counts by it
    meaning: str  # the same for all wordings of one question: a recording of one may stand for another
    text: str
    answer: str
    about: Thing | None = None  # what "it" means from now on
    call: str = ""  # the tool call that comes before the answer, as in the conversation
    result: str = ""  # what the tool gave back
