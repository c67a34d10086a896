"""One conversation: it hears, sees, thinks and speaks. START HERE.

    hear   microphone audio goes to the ear (ear.py), which says when the user speaks; from the onset on, sound goes to
           the speech encoder (hearing.py), and at the end of the turn it becomes an item
    see    a picture goes to the vision encoder (seeing.py) the moment it comes, and into the model's context at once
    think  the model answers the context (context.py keeps it in step with the record; thinking.py)
    speak  clauses of the answer become codec tokens and sound (answering.py, speaking.py), while it is being written

Everything that happens, a request, the end of an answer, the end of a hold, lies in one mailbox and is handled by one
task, in order; `turn.py` says what follows from what. Work that takes time runs beside it and reports back through the
mailbox. No I/O happens here: components, clock, identifiers and seeds are given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER
from vita.media.v1.media_pb2 import AudioChunk, ImageFrame
from vita_runtime.errors import (
    BadMedia,
    ContextFull,
    Draining,
    NoResponseActive,
    OutOfOrder,
    ResponseActive,
    VitaError,
)
from vita_sessions.session import Session

from vita_orchestrator.answering import Answer
from vita_orchestrator.checks import check_picture, check_sound
from vita_orchestrator.configuration import changed, endpointing_limits
from vita_orchestrator.context import ContextKeeper, Part
from vita_orchestrator.ear import Ear
from vita_orchestrator.endpointing import Decision
from vita_orchestrator.history import has_question, picture_key, plan
from vita_orchestrator.items import Items
from vita_orchestrator.listening import Listening
from vita_orchestrator.mailbox import Mailbox
from vita_orchestrator.measures import FAILURES, HOLDS, STAGE
from vita_orchestrator.outbox import Outbox
from vita_orchestrator.patience import LOST
from vita_orchestrator.responses import Responses
from vita_orchestrator.senses import SessionSenses
from vita_orchestrator.surroundings import Surroundings
from vita_orchestrator.turn import Action, Event, Turn

logger = logging.getLogger(__name__)

REQUEST_BOUND = 32  # requests read ahead: 3 s of microphone audio; then gRPC's flow control holds the client
PREFILL_RETRY_S = 0.3  # with a lost component; an answer does not depend on it
MIN_COMMIT_MS = 100  # the least that a client may commit as an utterance
HEARD: dict[Decision, Event] = {
    Decision.STARTED: Event.VOICE,
    Decision.SUSPECTED: Event.VOICE,
    Decision.CONFIRMED: Event.CONFIRMED,
    Decision.REJECTED: Event.REJECTED,
}


class Conversation:
    """One session, for as long as one stream is open."""

    def __init__(
        self, session: Session, surroundings: Surroundings, *, note_change: Callable[[], None], traceparent: str = ""
    ) -> None:
        self._session = session
        self._surroundings = surroundings
        self._policy = surroundings.policy
        self._note_change = note_change  # the record wants to be saved
        self._mailbox = Mailbox()
        self._turn = Turn(generation=session.generation)
        self._turn_id = ""
        self._hold_count = 0
        self._is_input_over = self._is_draining = False
        self._request_slots = asyncio.Semaphore(REQUEST_BOUND)
        self._prefill_wanted = asyncio.Event()
        self._event_ids: dict[str, str] = {}  # picture → the request that brought it

        components, spawn = surroundings.components, self._mailbox.spawn
        self.outbox = Outbox(session, self._policy.client_stall_s)
        self._keeper = ContextKeeper(components.llm, session.session_id)
        self._senses = SessionSenses(components, surroundings.outages, spawn, self._max_tile_count)
        self._ear = Ear(surroundings.new_voice_activity(), endpointing_limits(session.configuration.turn_detection))
        self._listening = Listening(self._senses, spawn, self._prefill_wanted)
        self._items = Items(session, self.outbox, self._policy, surroundings.new_id)
        self._responses = Responses(
            session, self._turn, self._keeper, self._senses, self.outbox, self._items, surroundings, spawn,
            self._answered,
        )  # fmt: skip
        self._responses.traceparent = traceparent

    async def run(self, requests: AsyncIterator[wire.ConverseRequest]) -> None:
        """Hold the conversation until its client has nothing more to say and the last answer is over."""
        try:
            await self._mailbox.handle(self._read(requests), self._prefill(), is_over=self._is_over)
        finally:
            self._responses.abandon()
            self._note_change()
            await self._keeper.close()
            await self.outbox.close()

    def drain(self, grace_ms: int) -> None:
        """The service is going away: finish the answer in progress, begin no other."""

        async def ending() -> None:
            self._is_draining = True
            await self.outbox.send(wire.SessionEnding(session_id=self._session.session_id, grace_ms=grace_ms))

        self._mailbox.post(ending)

    async def _read(self, requests: AsyncIterator[wire.ConverseRequest]) -> None:
        async for request in requests:
            await self._request_slots.acquire()
            self._mailbox.post(lambda request=request: self._take(request))
        self._mailbox.post(self._end_input)

    async def _take(self, request: wire.ConverseRequest) -> None:
        """Handle one request. What is wrong with it is told to the client, and the conversation goes on."""
        self._request_slots.release()
        try:
            await self._handle(request)
        except VitaError as error:
            await self._fail(error, request.client_event_id)

    async def _handle(self, request: wire.ConverseRequest) -> None:
        match request.WhichOneof("event"):
            case "audio":
                await self._hear(request.audio)
            case "image":
                self._see(request.image, request.client_event_id)
            case "interrupt":
                await self._stop(request.interrupt.response_id)
            case "configure":
                await self._configure(request.configure.configuration)
            case "commit_audio":
                await self._commit_by_client()
            case "clear_audio":
                await self._clear()
            case "create_response":
                await self._ask(request.create_response)
            case "report_playback":
                played = request.report_playback
                self._responses.report_playback(played.response_id, played.played_ms)
            case "open":
                raise OutOfOrder("the conversation is open already")
            case None:
                raise OutOfOrder("the request is empty, or of an unknown kind")
            case _:
                await self._edit(request)

    # Hear.

    async def _hear(self, chunk: AudioChunk) -> None:
        check_sound("audio", chunk, self._policy.max_chunk_ms)
        turns = self._session.configuration.turn_detection
        await self._listening.hear(chunk.samples)
        if not turns.is_enabled:
            self._ear.keep(chunk.samples)
            if self._listening.utterance is None:
                self._begin_turn()
                await self._listening.open(self._surroundings.new_id("item"), chunk.samples)
        elif self._turn.is_answering and not turns.is_response_interrupted:
            self._ear.forget()  # half duplex: while answering, what the microphone hears does not count
        else:
            for probability in await self._ear.hear(chunk.samples):
                is_answering = self._turn.is_answering or self._responses.is_last_still_heard
                await self._decide(self._ear.judge(probability, is_answering=is_answering))
        if self._listening.duration_ms > self._policy.max_utterance_ms:
            await self._end_utterance(silence_ms=0)

    async def _decide(self, decision: Decision | None) -> None:
        if decision is Decision.ENDED:
            await self._end_utterance(silence_ms=self._ear.silence_ms)
        elif decision is Decision.SUSPECTED and not self._turn.is_answering:
            return  # the answer is only being played still: there is nothing to hold
        elif decision is not None:
            await self._act(HEARD[decision])

    async def _act(self, event: Event) -> None:
        """Take the turn's step and do what it asks for."""
        for action in self._turn.on(event):
            match action:
                case Action.LISTEN:
                    await self._listen()
                case Action.COMMIT:
                    await self._commit()
                case Action.FORGET:
                    self._listening.forget()
                case Action.HOLD:
                    await self._hold()
                case Action.RELEASE:
                    HOLDS.labels("released").inc()
                    await self._responses.release()
                case Action.INTERRUPT:
                    await self._interrupt(is_by_client=event is Event.STOPPED)
                case Action.ANSWER:
                    pass  # the rest of `_ask` does it: it has the request

    async def _listen(self) -> None:
        await self._responses.cut_what_was_not_heard()
        self._begin_turn()
        sound, start_ms = self._ear.onset()
        hearing = await self._listening.open(self._surroundings.new_id("item"), sound)
        started = wire.SpeechStarted(item_id=hearing.item_id, audio_start_ms=start_ms)
        await self.outbox.send(started, self._turn_id)

    async def _end_utterance(self, *, silence_ms: int) -> None:
        turns, hearing = self._session.configuration.turn_detection, self._listening.utterance
        if hearing is not None and turns.is_enabled:
            STAGE.labels("endpointing").observe(silence_ms / 1000)
            end_ms = max(0, self._ear.now_ms - silence_ms)
            stopped = wire.SpeechStopped(item_id=hearing.item_id, audio_end_ms=end_ms)
            await self.outbox.send(stopped, self._turn_id)
            self._ear.reset()
            await self._act(Event.UTTERANCE_ENDED)
            if turns.is_response_created and not self._is_draining:
                await self._ask(wire.CreateResponse())
        elif hearing is not None:
            await self._commit()

    async def _commit_by_client(self) -> None:
        if self._listening.duration_ms < MIN_COMMIT_MS:
            raise OutOfOrder("there is no audio to commit", limit=f"{MIN_COMMIT_MS} ms")
        await self._end_utterance(silence_ms=0)

    async def _commit(self) -> None:
        item = await self._listening.close()
        before = self._session.entries[-1].item.item_id if self._session.entries else ""
        committed = wire.AudioCommitted(item_id=item.item_id, previous_item_id=before)
        await self.outbox.send(committed, self._turn_id)
        await self._items.add(item, self._turn_id)
        self._record_changed()

    async def _clear(self) -> None:
        if self._session.configuration.turn_detection.is_enabled and self._listening.utterance is not None:
            await self._act(Event.UTTERANCE_DROPPED)
        self._listening.forget()
        self._ear.forget()
        await self.outbox.send(wire.AudioCleared(), self._turn_id)

    # See.

    def _see(self, picture: ImageFrame, client_event_id: str) -> None:
        check_picture("image", picture, self._policy)
        self._event_ids[picture_key(picture)] = client_event_id
        self._listening.see(picture, self._policy.max_waiting_pictures)

    async def _prefill(self) -> None:
        """Bring what was seen, heard or written into the model's context before anybody asks."""
        while True:
            await self._prefill_wanted.wait()
            self._prefill_wanted.clear()
            try:
                await self._keeper.settle(self._hasty_plan)
            except BadMedia as error:
                self._mailbox.post(lambda error=error: self._refuse_picture(error))
            except ContextFull:
                logger.info("context is full; the next answer will say so")
            except LOST:
                asyncio.get_running_loop().call_later(PREFILL_RETRY_S, self._prefill_wanted.set)

    def _hasty_plan(self) -> list[Part]:
        instructions, senses = self._session.configuration.instructions, self._senses.hasty()
        return plan(instructions, self._session.entries, senses, self._listening.coming())

    async def _refuse_picture(self, error: BadMedia) -> None:
        key = self._keeper.refused_key
        self._listening.forget_picture(key)
        await self._items.forget_picture(key)
        await self._fail(error, self._event_ids.pop(key, ""))
        self._record_changed()

    # Think and speak.

    async def _ask(self, request: wire.CreateResponse) -> None:
        asked_s = self._surroundings.now()
        if self._is_draining:
            raise Draining("the service is going away: reconnect")
        if self._turn.is_answering:
            raise ResponseActive("an answer is in progress")
        configuration = changed(self._session.configuration, request.configuration, self._policy)
        if not has_question(self._session.entries) and not self._listening.pictures:
            raise OutOfOrder("there is nothing to answer")
        await self._act(Event.ASKED)
        await self._items.add_pictures(self._listening.pictures, self._turn_id)
        if not self._turn_id:
            self._begin_turn()
        await self._responses.start(configuration, request, self._turn_id, asked_s)

    async def _hold(self) -> None:
        await self._responses.hold()
        self._hold_count += 1
        hold = self._hold_count

        async def expire() -> None:
            if self._turn.is_held and hold == self._hold_count:
                await self._act(Event.REJECTED)

        loop = asyncio.get_running_loop()
        loop.call_later(self._policy.hold_limit_ms / 1000, self._mailbox.post, expire)

    async def _stop(self, response_id: str) -> None:
        current = self._responses.current
        if current is None or response_id not in ("", current.response_id):
            raise NoResponseActive("there is no answer to stop")
        await self._act(Event.STOPPED)

    async def _interrupt(self, *, is_by_client: bool) -> None:
        if not is_by_client:
            HOLDS.labels("confirmed").inc()
        self._session.generation = self._turn.generation
        outcome = wire.RESPONSE_OUTCOME_CANCELLED if is_by_client else wire.RESPONSE_OUTCOME_INTERRUPTED
        await self._responses.interrupt(outcome)
        self._turn_id = ""
        self._record_changed()

    def _answered(self, answer: Answer, outcome: wire.ResponseOutcome, error: VitaError | None) -> None:
        async def conclude() -> None:
            if answer is not self._responses.current:
                return  # it was interrupted meanwhile
            if isinstance(error, BadMedia):
                await self._items.forget_picture(self._keeper.refused_key)
            await self._responses.conclude(answer, outcome, error)
            await self._act(Event.ANSWERED)
            self._turn_id = ""
            self._record_changed()

        self._mailbox.post(conclude)

    # The rest.

    async def _edit(self, request: wire.ConverseRequest) -> None:
        """Change or show items."""
        match request.WhichOneof("event"):
            case "create_item":
                await self._create_item(request)
            case "delete_item":
                await self._items.delete(request.delete_item.item_id)
            case "truncate_item":
                cut = request.truncate_item
                await self._items.truncate(cut.item_id, cut.audio_end_ms)
            case _:
                await self._items.retrieve(request.retrieve_item.item_id)
                return
        self._record_changed()

    async def _create_item(self, request: wire.ConverseRequest) -> None:
        if not self._turn_id:
            self._begin_turn()
        if request.create_item.item.role == ROLE_USER and not request.create_item.previous_item_id:
            await self._items.add_pictures(self._listening.pictures, self._turn_id)
        item = await self._items.create(request.create_item, self._turn_id)
        for part in item.parts:
            if part.HasField("image"):
                self._event_ids[picture_key(part.image)] = request.client_event_id

    async def _configure(self, change: wire.SessionConfiguration) -> None:
        self._session.configuration = changed(self._session.configuration, change, self._policy)
        if change.HasField("turn_detection"):
            self._ear.follow(endpointing_limits(self._session.configuration.turn_detection))
        await self.outbox.send(wire.Configured(configuration=self._session.configuration))
        self._record_changed()

    async def _end_input(self) -> None:
        """The client has said everything: an utterance that is open ends with it."""
        self._is_input_over = True
        if self._session.configuration.turn_detection.is_enabled and self._listening.utterance is not None:
            await self._end_utterance(silence_ms=0)

    def _is_over(self) -> bool:
        return (self._is_input_over or self._is_draining) and not self._turn.is_answering

    def _begin_turn(self) -> None:
        self._session.turn_count += 1
        self._turn_id = self._surroundings.new_id("turn")
        self._senses.begin_turn()

    def _record_changed(self) -> None:
        self._prefill_wanted.set()
        self._note_change()

    async def _fail(self, error: VitaError, client_event_id: str) -> None:
        FAILURES.labels(error.reason).inc()
        await self.outbox.fail(error, client_event_id, self._turn_id)

    def _max_tile_count(self) -> int:
        return self._session.configuration.max_tile_count
