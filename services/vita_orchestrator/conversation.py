"""One conversation: it hears, sees, thinks and speaks. START HERE.

    hear   microphone audio goes to the ear (ear.py), which says when the user speaks; from the onset on, sound goes to
           the speech encoder (hearing.py), and at the end of the turn it becomes an item
    see    a picture goes to the vision encoder (seeing.py) the moment it comes, and into the model's context at once
           (prefill.py)
    think  the model answers the context (context.py keeps it in step with the record; thinking.py)
    speak  clauses of the answer become codec tokens and sound (answering.py, speaking.py), while it is being written

What follows from what is the table in turn.py; this module does what the table asks for. Requests come from stream.py,
answers are kept in responses.py. No I/O happens here: components, clock, identifiers and seeds are given.
"""

from __future__ import annotations

import asyncio

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.media.v1.media_pb2 import AudioChunk, ImageFrame
from vita_runtime.errors import BadMedia, Draining, NoResponseActive, OutOfOrder, ResponseActive, VitaError

from vita_orchestrator.answering import Answer
from vita_orchestrator.checks import check_picture, check_sound
from vita_orchestrator.configuration import changed, endpointing_limits
from vita_orchestrator.desk import Desk
from vita_orchestrator.ear import Ear
from vita_orchestrator.endpointing import Decision
from vita_orchestrator.history import has_question
from vita_orchestrator.listening import Listening
from vita_orchestrator.measures import HOLDS, STAGE
from vita_orchestrator.prefill import Prefill
from vita_orchestrator.quiet import QuietMoments
from vita_orchestrator.responses import Responses
from vita_orchestrator.turn import Action, Event, State

MIN_COMMIT_MS = 100  # the least that a client may commit as an utterance
HEARD: dict[Decision, Event] = {
    Decision.STARTED: Event.VOICE,
    Decision.SUSPECTED: Event.VOICE,
    Decision.CONFIRMED: Event.CONFIRMED,
    Decision.REJECTED: Event.REJECTED,
}


class Conversation:
    """Whose turn it is, and what each does with theirs. All of it runs in the desk's mailbox's task."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turn = desk.turn
        self._ear = Ear(
            desk.surroundings.new_voice_activity(),
            endpointing_limits(desk.configuration.turn_detection),
            desk.surroundings.heard_before(desk.session.session_id),
        )
        self._listening = Listening(desk.senses, desk.mailbox.spawn, desk.prefill_wanted)
        self._responses = Responses(desk, self._answered)
        self._hold_count = 0
        self.prefill = Prefill(desk, self._listening)
        self.quiet = QuietMoments(desk, self._ear, self._listening, self._responses)
        self.is_draining = False

    # Hear.

    async def hear(self, chunk: AudioChunk) -> None:
        """Take microphone audio. Raises BadInput."""
        check_sound("audio", chunk, self._desk.policy.max_chunk_ms)
        turns = self._desk.configuration.turn_detection
        self._listening.hear(chunk.samples)
        if not turns.is_enabled:
            self._hear_without_turns(chunk.samples)
        elif self._turn.is_answering and not turns.is_response_interrupted:
            self._ear.keep(chunk.samples)  # its time passes
            self._ear.forget()  # half duplex: while answering, what the microphone hears does not count
        else:
            for probability in await self._ear.hear(chunk.samples):
                is_answering = self._turn.is_answering or self._responses.decide_still_heard()
                finished = self._listening.ask_finished(self._ear.silent_ms) if self._ear.is_asking else None
                await self._decide(self._ear.judge(probability, is_answering=is_answering, finished=finished))
        if self._listening.duration_ms > self._desk.policy.max_utterance_ms:
            await self._end_utterance(silence_ms=0)

    async def commit_audio(self) -> None:
        """End the utterance now. Raises OutOfOrder: there is none worth the name."""
        if self._listening.duration_ms < MIN_COMMIT_MS:
            raise OutOfOrder("there is no audio to commit", limit=f"{MIN_COMMIT_MS} ms")
        await self._end_utterance(silence_ms=0)

    async def clear_audio(self) -> None:
        """Forget the utterance."""
        if self._turn.state is State.LISTENING:
            await self._act(Event.UTTERANCE_DROPPED)
        self._listening.forget()
        self._ear.forget()
        await self._desk.outbox.send(wire.AudioCleared(), self._desk.turn_id)

    async def end_input(self) -> None:
        """The client has said everything: an utterance that is open ends with it."""
        if self._turn.state is State.LISTENING:
            await self._end_utterance(silence_ms=0)

    async def follow(self, turns: wire.TurnDetection) -> None:
        """Follow a changed turn detection; an utterance that began under the other rule is forgotten."""
        self._ear.follow(endpointing_limits(self._desk.configuration.turn_detection))
        if self._listening.utterance is not None and turns.is_enabled != (self._turn.state is State.LISTENING):
            await self.clear_audio()

    def _hear_without_turns(self, samples: bytes) -> None:
        self._ear.keep(samples)
        if self._listening.utterance is None:
            self._desk.begin_turn()
            self._listening.open(self._desk.new_id("item"), samples)

    async def _decide(self, decision: Decision | None) -> None:
        if decision is Decision.ENDED:
            await self._end_utterance(silence_ms=self._ear.ended_ms)
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
                    pass  # the rest of `ask` does it: it has the request

    async def _listen(self) -> None:
        await self._responses.cut_what_was_not_heard()
        self._desk.begin_turn()
        sound, start_ms = self._ear.onset()
        hearing = self._listening.open(self._desk.new_id("item"), sound)
        started = wire.SpeechStarted(item_id=hearing.item_id, audio_start_ms=start_ms)
        await self._desk.outbox.send(started, self._desk.turn_id)

    async def _end_utterance(self, *, silence_ms: int) -> None:
        hearing = self._listening.utterance
        if self._turn.state is not State.LISTENING or hearing is None:
            await self._commit()  # without turn detection: the client asks for the answer itself
            return
        STAGE.labels("endpointing").observe(silence_ms / 1000)
        end_ms = max(0, self._ear.now_ms - silence_ms)
        stopped = wire.SpeechStopped(item_id=hearing.item_id, audio_end_ms=end_ms)
        await self._desk.outbox.send(stopped, self._desk.turn_id)
        self._ear.reset()
        await self._act(Event.UTTERANCE_ENDED)
        if self._desk.configuration.turn_detection.is_response_created and not self.is_draining:
            await self.ask(wire.CreateResponse())

    async def _commit(self) -> None:
        desk, item = self._desk, self._listening.close()
        if not desk.turn_id:
            desk.begin_turn()  # without turn detection, an answer that ended meanwhile has ended the turn
        before = desk.session.entries[-1].item.item_id if desk.session.entries else ""
        committed = wire.AudioCommitted(item_id=item.item_id, previous_item_id=before)
        await desk.outbox.send(committed, desk.turn_id)
        await desk.items.add(item, desk.turn_id)
        desk.record_changed()

    # See.

    def see(self, picture: ImageFrame, client_event_id: str) -> None:
        """Take a picture; it belongs to the next item of the user's. Raises BadInput."""
        check_picture("image", picture, self._desk.policy)
        self.prefill.sent(picture, client_event_id)
        self._listening.see(picture, self._desk.policy.max_waiting_pictures)

    async def place_pictures(self) -> None:
        """Make pictures that wait an item of their own: what comes next is not spoken."""
        if self._listening.pictures:
            if not self._desk.turn_id:
                self._desk.begin_turn()
            await self._desk.items.add_pictures(self._listening.pictures, self._desk.turn_id)

    # Think and speak.

    async def ask(self, request: wire.CreateResponse) -> None:
        """Answer the conversation as it stands.

        Raises:
            ResponseActive, Draining: not now.
            OutOfOrder: there is nothing to answer, or the user is speaking.
            BadInput: the answer's own settings are wrong, or the record has no room for its words.
        """
        desk, asked_s = self._desk, self._desk.now()
        if self.is_draining:
            raise Draining("the service is going away: reconnect")
        if self._turn.is_answering:
            raise ResponseActive("an answer is in progress")
        configuration = changed(desk.configuration, request.configuration, desk.policy)
        if not has_question(desk.session.entries) and not self._listening.pictures:
            raise OutOfOrder("there is nothing to answer")
        desk.items.check_room("create_response")
        await self._act(Event.ASKED)
        try:
            await self.place_pictures()
        except VitaError:  # the conversation is full: nobody is answering after all
            await self._act(Event.ANSWERED)
            raise
        if not desk.turn_id:
            desk.begin_turn()
        await self._responses.start(configuration, request, asked_s)

    async def stop(self, response_id: str) -> None:
        """Stop the answer in progress. Raises NoResponseActive: there is none, or another."""
        current = self._responses.current
        if current is None or response_id not in ("", current.response_id):
            raise NoResponseActive("there is no answer to stop")
        await self._act(Event.STOPPED)

    def report_playback(self, played: wire.ReportPlayback) -> None:
        """The client says what it has played."""
        self._responses.report_playback(played.response_id, played.played_ms)

    def abandon(self) -> None:
        """The client is gone: the record keeps what it has heard."""
        self._ear.close()
        self._responses.abandon()
        self._desk.record_changed()

    async def _hold(self) -> None:
        await self._responses.hold()
        self._hold_count += 1
        hold = self._hold_count

        async def expire() -> None:
            if self._turn.is_held and hold == self._hold_count:
                await self._act(Event.REJECTED)

        loop = asyncio.get_running_loop()
        loop.call_later(self._desk.policy.hold_limit_ms / 1000, self._desk.mailbox.post, expire)

    async def _interrupt(self, *, is_by_client: bool) -> None:
        if not is_by_client:
            HOLDS.labels("confirmed").inc()
        self._desk.session.generation = self._turn.generation
        outcome = wire.RESPONSE_OUTCOME_CANCELLED if is_by_client else wire.RESPONSE_OUTCOME_INTERRUPTED
        await self._responses.interrupt(outcome)
        self._end_turn()

    def _answered(self, answer: Answer, outcome: wire.ResponseOutcome, error: VitaError | None) -> None:
        """An answer ended by itself: have that handled in its turn."""

        async def conclude() -> None:
            if answer is not self._responses.current:
                return  # it was interrupted meanwhile
            if isinstance(error, BadMedia):
                await self._desk.items.forget_picture(self._desk.keeper.refused_key)
            await self._responses.conclude(answer, outcome, error)
            await self._act(Event.ANSWERED)
            self._end_turn()

        self._desk.mailbox.post(conclude)

    def _end_turn(self) -> None:
        self._desk.turn_id = ""
        self._desk.record_changed()
