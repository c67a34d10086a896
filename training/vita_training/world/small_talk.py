"""Small talk: what may be said without a picture, with the one answer to each."""

from __future__ import annotations

NO_PICTURE = "I do not see a picture."  # to a question about a picture where there is none
UNKNOWN = "I am not sure."  # to what lies outside the small world

# (wordings, answer)
_PAIRS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Hello.", "Hi.", "Hello there.", "Hello Vita."), "Hello, how can I help you?"),
    (("Good morning.", "Good morning Vita."), "Good morning."),
    (("How are you?", "How are you today?"), "I am fine, thank you."),
    (("Who are you?", "What is your name?"), "I am Vita, and I can hear and see."),
    (("What can you do?", "Can you help me?"), "I can tell you about pictures."),
    (("Can you hear me?", "Do you hear me?"), "Yes, I can hear you."),
    (("Thank you.", "Thanks.", "Thank you very much."), "You are welcome."),
    (("Goodbye.", "Bye.", "See you later."), "Goodbye."),
    (("Stop.", "Please stop.", "Wait.", "Be quiet."), "Okay."),
    (("Are you sure?", "Is that right?"), "Yes, I am sure."),
    (("What is your favorite color?", "Which color do you like?"), "I like blue."),
    (("Are you a robot?", "Are you human?"), "I am a small model."),
)
SMALL_TALK: tuple[tuple[str, str], ...] = tuple((wording, line) for wordings, line in _PAIRS for wording in wordings)

# Outside the small world.
STRANGE: tuple[str, ...] = (
    "What time is it?",
    "How is the weather?",
    "Where is Paris?",
    "What is two plus three?",
    "Tell me a joke.",
    "Sing a song.",
    "What day is it?",
    "How old are you?",
    "Is there a dog?",
    "Who made this?",
)
