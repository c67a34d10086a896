"""Whose turn it is: a table of states and events, without I/O and without time.

    IDLE ──voice──▶ LISTENING ──utterance ended──▶ IDLE ──asked──▶ THINKING ─first output─▶ SPEAKING ─answered─▶ IDLE
                        ▲                                            │   ▲                    │   ▲
                        │                                      voice │   │ rejected     voice │   │ rejected
                        │                                            ▼   │                    ▼   │
                        └────────────── confirmed ─────────────── THINKING_HELD            SPEAKING_HELD

A voice over an answer first *holds* it: nothing is cancelled, output waits. If the voice is confirmed the answer is
interrupted and the generation number rises, which makes all output of the older generation stale wherever it is; if it
is rejected (a cough) output goes on from the sample at which it was held. Pairs that are not in the table are breaches
of the protocol and raise OutOfOrder; the state is then unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from vita_runtime.errors import OutOfOrder


class State(Enum):
    """Whose turn it is."""

    IDLE = auto()  # nobody's
    LISTENING = auto()  # the user speaks
    THINKING = auto()  # an answer was asked for, nothing of it has gone out yet
    THINKING_HELD = auto()  # the same, while a voice is being judged
    SPEAKING = auto()  # output goes out
    SPEAKING_HELD = auto()  # output waits while a voice is being judged


class Event(Enum):
    """What happens to a turn."""

    VOICE = auto()  # a voice was noticed
    CONFIRMED = auto()  # it is speech
    REJECTED = auto()  # it was a cough, or nothing
    UTTERANCE_ENDED = auto()  # by silence or by the client's commit
    UTTERANCE_DROPPED = auto()  # the client cleared it
    ASKED = auto()  # an answer is wanted
    FIRST_OUTPUT = auto()  # the answer's first words or sound leave
    ANSWERED = auto()  # the answer ended by itself, whole or failed
    STOPPED = auto()  # the client stopped the answer


class Action(Enum):
    """What the conversation has to do about it."""

    LISTEN = auto()  # open an utterance
    COMMIT = auto()  # make the utterance an item
    FORGET = auto()  # drop the utterance
    ANSWER = auto()  # start an answer
    HOLD = auto()  # hold output back
    RELEASE = auto()  # let held output go on
    INTERRUPT = auto()  # stop the answer in every stage


TABLE: dict[tuple[State, Event], tuple[State, tuple[Action, ...]]] = {
    (State.IDLE, Event.VOICE): (State.LISTENING, (Action.LISTEN,)),
    # The voice that held an answer may be judged after that answer has ended.
    (State.IDLE, Event.CONFIRMED): (State.LISTENING, (Action.LISTEN,)),
    (State.IDLE, Event.REJECTED): (State.IDLE, ()),
    (State.IDLE, Event.ASKED): (State.THINKING, (Action.ANSWER,)),
    (State.LISTENING, Event.UTTERANCE_ENDED): (State.IDLE, (Action.COMMIT,)),
    (State.LISTENING, Event.UTTERANCE_DROPPED): (State.IDLE, (Action.FORGET,)),
    (State.THINKING, Event.FIRST_OUTPUT): (State.SPEAKING, ()),
    (State.THINKING, Event.VOICE): (State.THINKING_HELD, (Action.HOLD,)),
    (State.THINKING, Event.ANSWERED): (State.IDLE, ()),
    (State.THINKING, Event.STOPPED): (State.IDLE, (Action.INTERRUPT,)),
    # A hold ends by the wall clock even if the microphone stalls; its voice may be judged after that.
    (State.THINKING, Event.CONFIRMED): (State.LISTENING, (Action.INTERRUPT, Action.LISTEN)),
    (State.THINKING, Event.REJECTED): (State.THINKING, ()),
    (State.THINKING_HELD, Event.CONFIRMED): (State.LISTENING, (Action.INTERRUPT, Action.LISTEN)),
    (State.THINKING_HELD, Event.REJECTED): (State.THINKING, (Action.RELEASE,)),
    (State.THINKING_HELD, Event.ANSWERED): (State.IDLE, (Action.RELEASE,)),
    (State.THINKING_HELD, Event.STOPPED): (State.IDLE, (Action.INTERRUPT,)),
    (State.SPEAKING, Event.VOICE): (State.SPEAKING_HELD, (Action.HOLD,)),
    (State.SPEAKING, Event.ANSWERED): (State.IDLE, ()),
    (State.SPEAKING, Event.STOPPED): (State.IDLE, (Action.INTERRUPT,)),
    (State.SPEAKING, Event.CONFIRMED): (State.LISTENING, (Action.INTERRUPT, Action.LISTEN)),
    (State.SPEAKING, Event.REJECTED): (State.SPEAKING, ()),
    (State.SPEAKING_HELD, Event.CONFIRMED): (State.LISTENING, (Action.INTERRUPT, Action.LISTEN)),
    (State.SPEAKING_HELD, Event.REJECTED): (State.SPEAKING, (Action.RELEASE,)),
    (State.SPEAKING_HELD, Event.ANSWERED): (State.IDLE, (Action.RELEASE,)),
    (State.SPEAKING_HELD, Event.STOPPED): (State.IDLE, (Action.INTERRUPT,)),
}

ANSWERING = frozenset({State.THINKING, State.THINKING_HELD, State.SPEAKING, State.SPEAKING_HELD})
HELD = frozenset({State.THINKING_HELD, State.SPEAKING_HELD})


@dataclass(slots=True)
class Turn:
    """Where one conversation stands. The generation number fences off what was made before an interruption."""

    state: State = State.IDLE
    generation: int = 0

    @property
    def is_answering(self) -> bool:
        """Whether an answer is in progress, held or not."""
        return self.state in ANSWERING

    @property
    def is_held(self) -> bool:
        """Whether output waits for a voice to be judged."""
        return self.state in HELD

    def on(self, event: Event) -> tuple[Action, ...]:
        """Take the event's step through the table and return what is to be done.

        Raises:
            OutOfOrder: the event has no place in this state; nothing changed.
        """
        step = TABLE.get((self.state, event))
        if step is None:
            raise OutOfOrder(
                f"{event.name.lower()} has no place while {self.state.name.lower()}", state=self.state.name
            )
        self.state, actions = step
        if Action.INTERRUPT in actions:
            self.generation += 1
        return actions
