"""What training never meets: some wordings, voices, speeds and seeds. Every such decision is made here.

A held-out wording is one of two things: a frame ("Can you tell me …?") around a core ("what color the … is") that are
both learnt, but never together; or one of a few whole cores that are not learnt in any frame. What it asks about is
left out of the decision: a wording is held out for all colours or for none.
"""

from __future__ import annotations

import re
import zlib

ONE_IN = 8  # pairs of a frame and a core, and remarks, that are held out
CORES = frozenset(
    [
        "what color does the {shape} have",
        "what {colour} shape is there",
        "what is the number of {shapes}",
        "how many shapes can you count",
        "can you find {a_name}",
        "where would you say the {name} is",
        "which thing is {place}",
        "which one is bigger, the {one} or the {other}",
        "what do you see in the picture",
        "say everything about the picture",
        "where is the {shape} moving",
        "what is the thing that moved",
        "how much is {a} and {b}",
        "count up from one to {number}",
        "I have the name {person}",
        "which number was it that I told you",
        "what did I tell you my name was",
        "what time do you have",
        "switch the {room} light {state}",
        "Hey there.",
        "Thanks very much.",
        "What about {place}?",
        "How about the {shape}?",
        "tell me how to cook {food}",
    ]
)
VOICES = (("en-us", "f5"), ("en", "m8"), ("en-us", "Alex"), ("en-us", "Andrea"))  # espeak's accent and variant
WORDS_PER_MINUTE = (156, 168)  # inclusive; learnt speeds lie on both sides
SEED = 1_000_003  # added to a set's seed, so that its pictures and conversations are others


def is_remark_held_out(remark: str) -> bool:
    """Decide over what people say to each other, which evaluation must hear for the first time too."""
    return zlib.crc32(remark.encode()) % ONE_IN == 0


def is_wording_held_out(frame: str, core: str, *, is_bare: bool) -> bool:
    """Decide over a core in a frame; `is_bare`: the frame adds nothing, and only whole cores are held out."""
    if core in CORES:
        return True
    wording = re.sub(r"[^a-z_{} ]", "", frame.format(core).lower())  # a comma makes no other wording
    return not is_bare and zlib.crc32(wording.encode()) % ONE_IN == 0
