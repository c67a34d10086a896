"""Greetings, thanks, and questions about the assistant itself."""

from __future__ import annotations

from collections.abc import Iterator

from vita_training.world.phrasing import Asker, Kind
from vita_training.world.question import Question


def _talk(name: str, *whole: str, question: tuple[str, ...] = ()) -> Kind:
    return Kind(name, whole=whole, question=question)


# What may be said, and the one answer.
_TALK: tuple[tuple[Kind, str], ...] = (
    (
        _talk(
            "hello", "Hello.", "Hi.", "Hello there.", "Hi there.", "Hello Vita.", "Hi Vita.", "Hey Vita.", "Hey there."
        ),
        "Hello, how can I help you?",
    ),
    (_talk("good_morning", "Good morning.", "Good morning Vita."), "Good morning."),
    (_talk("how_are_you", "How are you today?", question=("how are you",)), "I am fine, thank you."),
    (_talk("who_are_you", question=("who are you", "what is your name")), "I am Vita, and I can hear and see."),
    (_talk("what_can_you_do", question=("what can you do", "can you help me")), "I can tell you about pictures."),
    (_talk("can_you_hear", question=("can you hear me", "do you hear me")), "Yes, I can hear you."),
    (
        _talk(
            "thanks",
            "Thank you.",
            "Thanks.",
            "Thank you very much.",
            "Thank you Vita.",
            "Thanks Vita.",
            "Thanks very much.",
        ),
        "You are welcome.",
    ),
    (_talk("goodbye", "Goodbye.", "Bye.", "Goodbye Vita.", "Bye Vita.", "See you later."), "Goodbye."),
    (_talk("stop", "Stop.", "Please stop.", "Wait.", "Wait a moment.", "Be quiet.", "Stop Vita."), "Okay."),
    (_talk("are_you_sure", question=("are you sure", "is that right")), "Yes, I am sure."),
    (_talk("favorite", question=("what is your favorite color", "which color do you like")), "I like blue."),
    (_talk("robot", question=("are you a robot", "are you human")), "I am a small model."),
)
KINDS = tuple(kind for kind, _ in _TALK)


def ask(asker: Asker) -> Question:
    """Say something of small talk."""
    kind, answer = asker.rng.choice(_TALK)
    return asker.ask(kind, answer)


def answers() -> Iterator[str]:
    """All that this topic says."""
    yield from (answer for _, answer in _TALK)
