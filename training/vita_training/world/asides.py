"""Speech that is not addressed to the assistant: people talk to each other, also about it, and mumble."""

from __future__ import annotations

import random

from vita_training.world.held_out import is_remark_held_out

MURMURS = ("Mm-hmm.", "Uh-huh.", "Hmm.", "Ah.", "Oh.", "Mmm.", "Uh.", "Ha ha ha.", "Ouch.", "Oops.")
_WHO = (
    *("my brother", "my sister", "our teacher", "the neighbor", "my friend", "the doctor", "she", "he", "they", "we"),
    *("my mother", "the man over there", "the children", "her husband", "someone"),
)
_DID = (
    *("left the keys in the car", "went to the market yesterday", "will be late for dinner", "bought a new phone"),
    *("never liked the red one", "said it was on the left", "saw the movie twice", "should call the bank"),
    *("forgot the milk again", "moved to another town", "wanted to see the pictures", "painted the wall blue"),
    *("broke the window", "asked the machine what it sees", "thinks the assistant is funny", "counted the money"),
)
_LISTENERS = ("Mom", "Dad", "honey", "guys", "Mister Smith", "my dear", "doctor", "waiter")
_TO_THEM = (
    *("did you lock the door", "are you coming with us", "where did you put my shoes", "dinner is ready"),
    *("have you seen my glasses", "look at this thing", "do not touch that", "what did you say to her"),
    *("I talked to the computer today", "it can see pictures now", "pass me the salt", "we are leaving in a minute"),
)
_BEFORE = ("", "I think ", "I heard that ", "you know, ", "well, ", "actually ", "and then ", "but ")


def aside(rng: random.Random, *, is_held_out: bool = False) -> str:
    """Draw what one person tells another."""
    while is_remark_held_out(remark := _remark(rng)) != is_held_out:
        pass
    return remark


def _remark(rng: random.Random) -> str:
    if rng.random() < 0.5:
        said = f"{rng.choice(_BEFORE)}{rng.choice(_WHO)} {rng.choice(_DID)}."
    else:
        said = f"{rng.choice(_TO_THEM)}, {rng.choice(_LISTENERS)}."
        if rng.random() < 0.5:
            said = f"{rng.choice(_LISTENERS)}, {rng.choice(_TO_THEM)}."
    return said[0].upper() + said[1:]
