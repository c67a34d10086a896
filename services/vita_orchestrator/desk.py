"""What one session's conversation works with: its record, its turn, its mailbox, its context, its way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_recordings.tape import observe
from vita_runtime import tracing
from vita_runtime.errors import VitaError
from vita_sessions.session import Session

from vita_orchestrator.context import ContextKeeper
from vita_orchestrator.items import Items
from vita_orchestrator.mailbox import Mailbox
from vita_orchestrator.measures import FAILURES
from vita_orchestrator.outbox import Outbox
from vita_orchestrator.senses import SessionSenses
from vita_orchestrator.surroundings import Surroundings
from vita_orchestrator.turn import Turn


class Desk:
    """Shared by the parts of one conversation; all of them run in its mailbox's task."""

    def __init__(
        self, session: Session, surroundings: Surroundings, note_change: Callable[[], None], traceparent: str
    ) -> None:
        self.session = session
        self.surroundings = surroundings
        self.policy = surroundings.policy
        self.now = surroundings.now
        self.mailbox = Mailbox()
        self.outbox = Outbox(session, self.policy.client_stall_s)
        self.turn = Turn(generation=session.generation)
        self.turn_id = ""  # of the turn in progress; empty between turns
        self.prefill_wanted = asyncio.Event()
        self.keeper = ContextKeeper(surroundings.components.llm, session.session_id)
        self.senses = SessionSenses(
            surroundings.components,
            surroundings.outages,
            self.mailbox.spawn,
            lambda: self.configuration.max_tile_count,
        )
        self.items = Items(session, self.outbox, self.policy, self.new_id)
        self._note_change = note_change
        self._traceparent = traceparent  # the client's

    def new_id(self, kind: str) -> str:
        """Return an id that no other has."""
        return observe(f"id/{kind}", lambda: self.surroundings.new_id(kind))

    @property
    def configuration(self) -> wire.SessionConfiguration:
        """How the conversation is held, as of now."""
        return self.session.configuration

    def begin_turn(self) -> None:
        """A turn begins."""
        self.session.turn_count += 1
        self.turn_id = self.new_id("turn")
        with tracing.span("turn", traceparent=self._traceparent, turn_id=self.turn_id):
            # Ended at once: its children are what the turn is made of, and they run in other tasks.
            self.senses.traceparent = tracing.current_traceparent()
        self.senses.begin_turn()

    def record_changed(self) -> None:
        """The record wants to be saved, and the context brought in step with it."""
        self.prefill_wanted.set()
        self._note_change()

    async def fail(self, error: VitaError, client_event_id: str = "") -> None:
        """Tell the client of a failure that the conversation survives."""
        FAILURES.labels(error.reason).inc()
        await self.outbox.fail(error, client_event_id, self.turn_id)
