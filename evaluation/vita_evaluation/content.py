"""What an answer says, apart from how it is written: the one comparison that every bar of content uses."""

from __future__ import annotations

import re

from vita_orchestrator.spoken_form import spoken_form

Content = tuple[str, ...]


def content(text: str) -> Content:
    """Return the words of a text as they are read aloud: "It is 14:05." says what "it is fourteen oh five" says."""
    return tuple(re.findall(r"[\w']+", spoken_form(text).lower()))


def says_the_same(expected: str, said: str) -> bool:
    """Whether an answer says the same words; punctuation, capitals and how numbers are written aside."""
    return content(expected) == content(said)
