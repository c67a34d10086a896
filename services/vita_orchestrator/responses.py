"""The session's answers: started, held, fenced, interrupted, and put into the record as they were heard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import (
    ITEM_STATUS_COMPLETED,
    ITEM_STATUS_IN_PROGRESS,
    ITEM_STATUS_INCOMPLETE,
    ROLE_ASSISTANT,
    ContentPart,
    Item,
)
from vita_recordings.tape import observe
from vita_runtime import tracing
from vita_runtime.errors import VitaError
from vita_sessions.session import Entry

from vita_orchestrator.answering import Answer, Answering, Stages
from vita_orchestrator.components import Sampling
from vita_orchestrator.context import Part
from vita_orchestrator.desk import Desk
from vita_orchestrator.history import NEXT_TURN, Coming, asked_states, plan, text_key
from vita_orchestrator.measures import FAILURES, RESPONSES, STOPPING
from vita_orchestrator.outbox import ClientStalledError
from vita_orchestrator.playback import Playback
from vita_orchestrator.speaking import MAX_SEED
from vita_orchestrator.status import to_status
from vita_orchestrator.tools import call_choice, names_of
from vita_orchestrator.turn import Event, State

logger = logging.getLogger(__name__)

Answered = Callable[[Answer, wire.ResponseOutcome, VitaError | None], None]


class Responses:
    """At most one answer at a time; its output passes one gate and one fence."""

    def __init__(self, desk: Desk, answered: Answered) -> None:
        self._desk = desk
        self._session = desk.session
        self._turn = desk.turn
        self._outbox = desk.outbox
        self._answered = answered
        self._gate = asyncio.Event()
        self._gate.set()
        self._task: asyncio.Task[None] | None = None
        self.current: Answer | None = None
        self.last: Answer | None = None

    @property
    def is_last_still_heard(self) -> bool:
        """Whether the listener is still playing the answer before."""
        last = self.last
        return last is not None and last.is_paced and last.playback.played_ms() < last.playback.sent_ms

    def decide_still_heard(self) -> bool:
        """Return the same where something follows from it."""
        if self.last is None or not self.last.is_paced:
            return False
        return bool(observe("still_heard", lambda: int(self.is_last_still_heard)))

    def forget_last(self) -> None:
        """Everything has been heard: late reports about the last answer are no news."""
        self.last = None

    async def start(
        self, configuration: wire.SessionConfiguration, request: wire.CreateResponse, asked_s: float
    ) -> None:
        """Start an answer to the conversation as it stands."""
        desk, asked = self._desk, list(self._session.entries)
        self.current = answer = self._new_answer(configuration, request, asked_s)
        if not answer.is_out_of_band:
            item = Item(item_id=answer.item_id, role=ROLE_ASSISTANT, status=ITEM_STATUS_IN_PROGRESS)
            self._session.add(Entry(item, answer.turn_id))
        started = wire.ResponseStarted(
            response_id=answer.response_id,
            item_id=answer.item_id,
            metadata=answer.metadata,
            generation=answer.generation,
        )
        await self._outbox.send(started, answer.turn_id)

        def parts() -> list[Part]:
            return plan(configuration, asked, desk.senses, Coming())

        desk.senses.asked(asked_s)
        stages = Stages(desk.keeper, parts, desk.surroundings.components, desk.senses.patience())
        answering = Answering(answer, self._sampling(configuration, asked), stages, desk.policy, desk.now, self._send)
        self._task = desk.mailbox.spawn(self._run(answering))

    def _new_answer(
        self, configuration: wire.SessionConfiguration, request: wire.CreateResponse, asked_s: float
    ) -> Answer:
        return Answer(
            response_id=self._desk.new_id("resp"),
            item_id=self._desk.new_id("item"),
            turn_id=self._desk.turn_id,
            generation=self._turn.generation,
            is_spoken=configuration.modality == wire.MODALITY_AUDIO,
            is_paced=configuration.is_paced,
            is_out_of_band=request.is_out_of_band,
            asked_s=asked_s,
            playback=Playback(self._desk.now),
            metadata=dict(request.metadata),
            tool_names=names_of(configuration),
        )

    async def hold(self) -> None:
        """Let no output pass."""
        self._gate.clear()
        if self.current is not None:
            event = wire.OutputHeld(response_id=self.current.response_id)
            await self._outbox.send(event, self.current.turn_id)

    async def release(self) -> None:
        """Let output pass again, from where it was held."""
        if self.current is not None:
            event = wire.OutputReleased(response_id=self.current.response_id)
            await self._outbox.send(event, self.current.turn_id)
        self._gate.set()

    async def interrupt(self, outcome: wire.ResponseOutcome) -> None:
        """Stop the answer in every stage; the turn's generation has risen already, so nothing of it passes any more."""
        answer, task = self.current, self._task
        if answer is None or task is None:
            return
        task.cancel()
        self._desk.mailbox.spawn(self._watch_stop(task))
        self._gate.set()
        if outcome == wire.RESPONSE_OUTCOME_CANCELLED:
            answer.is_paced = False  # the client has stopped it: what it has not played it will not
        await self.conclude(answer, outcome, None)

    async def conclude(self, answer: Answer, outcome: wire.ResponseOutcome, error: VitaError | None) -> None:
        """Put the answer into the record as it was heard, and say how it ended."""
        self.current, self._task, self.last = None, None, answer
        item = self._remember(answer, outcome)
        self._desk.keeper.discard()
        if outcome == wire.RESPONSE_OUTCOME_IGNORED and not answer.is_out_of_band:
            await self._desk.items.forget_question()
        done = wire.ResponseDone(
            response_id=answer.response_id,
            outcome=outcome,
            item=item,
            usage=answer.usage,
            stage_times=answer.stage_times,
            audio_ms=answer.playback.sent_ms,
            metadata=answer.metadata,
        )
        if error is not None:
            done.failure.CopyFrom(to_status(error))
            FAILURES.labels(error.reason).inc()
        name = wire.ResponseOutcome.Name(outcome).removeprefix("RESPONSE_OUTCOME_").lower()
        RESPONSES.labels(name).inc()
        facts = {"outcome": name, "turn_id": answer.turn_id, "text_chars": len(answer.text), "audio_ms": done.audio_ms}
        logger.info("answer ended", extra={**facts, "reason": error.reason if error else ""})
        await self._outbox.send(done, answer.turn_id)
        if answer.text and not item.parts:  # words went out, and the record has none of them
            await self._outbox.send(wire.ItemDeleted(item_id=answer.item_id), answer.turn_id)

    def abandon(self) -> None:
        """The client is gone: put the answer in progress into the record as far as it was heard."""
        if self.current is not None:
            self._remember(self.current, wire.RESPONSE_OUTCOME_INTERRUPTED)
            self.current = None

    async def cut_what_was_not_heard(self) -> None:
        """The user speaks while the last answer is still being played: cut it to what they heard."""
        last = self.last
        if last is None or not last.is_paced or last.is_out_of_band:
            return
        played_ms = observe("played_ms", last.playback.played_ms)
        if played_ms >= last.playback.sent_ms:
            return
        last.is_paced = False
        if any(entry.item.item_id == last.item_id for entry in self._session.entries):
            await self._desk.items.truncate(last.item_id, played_ms)

    def report_playback(self, response_id: str, played_ms: int) -> None:
        """The client says what it has played; of an answer long gone it is no news."""
        for answer in (self.current, self.last):
            if answer is not None and answer.response_id == response_id:
                answer.playback.report(played_ms)

    async def _run(self, answering: Answering) -> None:
        """Work on an answer and report how it ended. Defects end the answer, not the conversation."""
        answer, error = answering.answer, None
        outcome: wire.ResponseOutcome = wire.RESPONSE_OUTCOME_FAILED
        try:
            with tracing.span("answer", traceparent=self._desk.senses.traceparent, turn_id=answer.turn_id):
                outcome = await answering.run()
        except VitaError as failure:
            error = failure
        except ClientStalledError:
            raise  # there is nobody to answer
        except Exception:
            logger.exception("an answer failed by a defect", extra={"turn_id": answer.turn_id})
            error = VitaError("a defect of ours; it is logged")
        self._answered(answer, outcome, error)

    async def _send(self, answer: Answer, event: Message) -> None:
        while True:
            await self._gate.wait()
            await self._outbox.room()
            if answer.generation != self._turn.generation or answer is not self.current:
                return  # the one line where stale output is dropped
            if self._gate.is_set():
                break
        if self._turn.state is State.THINKING:
            self._turn.on(Event.FIRST_OUTPUT)
        if isinstance(event, wire.ToolCalled):
            self._call(answer, event)
        await self._outbox.put(event, answer.turn_id)

    def _call(self, answer: Answer, called: wire.ToolCalled) -> None:
        """Name a call that is about to be told, and put it into the record: the client may follow it at once."""
        item = called.item
        item.item_id, item.tool_call.call_id = self._desk.new_id("item"), self._desk.new_id("call")
        if not answer.is_out_of_band:
            before = (answer.item_id, *answer.call_item_ids)[-1]
            called.previous_item_id = self._session.add(Entry(item, answer.turn_id), before)
            self._desk.record_changed()
        answer.call_item_ids.append(item.item_id)

    async def _watch_stop(self, task: asyncio.Task[None]) -> None:
        started_s = self._desk.now()
        await asyncio.gather(task, return_exceptions=True)
        STOPPING.observe(self._desk.now() - started_s)

    def _remember(self, answer: Answer, outcome: wire.ResponseOutcome) -> Item:
        """Return the answer's item as the conversation keeps it: with the words that were heard."""
        is_whole = outcome == wire.RESPONSE_OUTCOME_COMPLETED
        status = ITEM_STATUS_COMPLETED if is_whole else ITEM_STATUS_INCOMPLETE
        entry = Entry(Item(item_id=answer.item_id, role=ROLE_ASSISTANT, status=status), answer.turn_id, answer.marks())
        if answer.text:
            entry.item.parts.append(ContentPart(text=answer.text))
        if answer.is_out_of_band:
            return entry.item
        self._session.entries[self._session.index(answer.item_id)] = entry
        if not answer.is_whole:
            is_failed = outcome == wire.RESPONSE_OUTCOME_FAILED  # what was sent will still be played
            heard_ms = answer.playback.sent_ms if is_failed else observe("played_ms", answer.playback.played_ms)
            self._session.cut(answer.item_id, heard_ms)
        if not entry.text:
            self._session.remove(answer.item_id)
        elif answer.is_whole and not answer.call_item_ids and outcome != wire.RESPONSE_OUTCOME_FAILED:
            self._desk.keeper.keep(text_key(answer.item_id, entry.text), NEXT_TURN)
        return entry.item

    def _sampling(self, configuration: wire.SessionConfiguration, asked: list[Entry]) -> Sampling:
        seed = (
            configuration.seed if configuration.HasField("seed") else observe("seed", self._desk.surroundings.draw_seed)
        )
        return Sampling(
            max_tokens=configuration.max_output_tokens,
            temperature=configuration.temperature,
            seed=seed & MAX_SEED,
            states=asked_states(asked),
            calls=call_choice(configuration, self._desk.policy),
        )
