"""The table of turns."""

from __future__ import annotations

import pytest
from vita_orchestrator.turn import ANSWERING, HELD, TABLE, Action, Event, State, Turn
from vita_runtime.errors import OutOfOrder

pytestmark = pytest.mark.unit


def test_a_plain_turn_goes_round() -> None:
    turn = Turn()
    events = (Event.VOICE, Event.UTTERANCE_ENDED, Event.ASKED, Event.FIRST_OUTPUT, Event.ANSWERED)
    states = []
    for event in events:
        turn.on(event)
        states.append(turn.state)
    assert states == [State.LISTENING, State.IDLE, State.THINKING, State.SPEAKING, State.IDLE]
    assert turn.generation == 0


@pytest.mark.parametrize("state", list(HELD))
def test_a_rejected_hold_returns_to_where_it_was(state: State) -> None:
    before = State.THINKING if state is State.THINKING_HELD else State.SPEAKING
    turn = Turn(before)
    assert turn.on(Event.VOICE) == (Action.HOLD,)
    assert turn.state is state
    assert turn.on(Event.REJECTED) == (Action.RELEASE,)
    assert (turn.state, turn.generation) == (before, 0)


@pytest.mark.parametrize("state", list(ANSWERING))
def test_a_confirmed_voice_interrupts_any_answer_and_raises_the_generation(state: State) -> None:
    turn = Turn(state, generation=4)
    assert turn.on(Event.CONFIRMED) == (Action.INTERRUPT, Action.LISTEN)
    assert (turn.state, turn.generation) == (State.LISTENING, 5)


@pytest.mark.parametrize("state", list(ANSWERING))
def test_a_client_can_stop_any_answer(state: State) -> None:
    turn = Turn(state)
    assert Action.INTERRUPT in turn.on(Event.STOPPED)
    assert turn.state is State.IDLE


@pytest.mark.parametrize("state", list(HELD))
def test_an_answer_that_ends_while_held_opens_the_gate_again(state: State) -> None:
    turn = Turn(state)
    assert turn.on(Event.ANSWERED) == (Action.RELEASE,)
    assert turn.on(Event.CONFIRMED) == (Action.LISTEN,)


@pytest.mark.parametrize("state", list(State))
def test_what_the_table_does_not_hold_is_refused_and_changes_nothing(state: State) -> None:
    for event in Event:
        turn = Turn(state, generation=1)
        if (state, event) in TABLE:
            continue
        with pytest.raises(OutOfOrder):
            turn.on(event)
        assert (turn.state, turn.generation) == (state, 1)


def test_every_state_can_be_reached_and_left() -> None:
    assert {after for after, _ in TABLE.values()} == set(State)
    assert {before for before, _ in TABLE} == set(State)


def test_at_most_one_answer_is_ever_in_progress() -> None:
    for (before, event), (after, actions) in TABLE.items():
        begins = before not in ANSWERING and after in ANSWERING
        assert begins == (Action.ANSWER in actions), (before, event)
        leaves = before in ANSWERING and after not in ANSWERING
        assert leaves == (Action.INTERRUPT in actions or event is Event.ANSWERED), (before, event)
