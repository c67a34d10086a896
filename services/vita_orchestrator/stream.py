"""A client's stream of requests, taken one by one to what they ask for.

Everything that happens, a request, the end of an answer, the end of a hold, lies in one mailbox and is handled by one
task, in order. Work that takes time runs beside it and reports back through the mailbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, KIND_REQUEST
from vita_recordings.recorder import SessionTape
from vita_runtime.errors import OutOfOrder, VitaError
from vita_sessions.session import Session

from vita_orchestrator.configuration import changed
from vita_orchestrator.conversation import Conversation
from vita_orchestrator.desk import Desk
from vita_orchestrator.outbox import Outbox
from vita_orchestrator.surroundings import Surroundings

REQUEST_BOUND = 32  # requests read ahead: 3 s of microphone audio; then gRPC's flow control holds the client


class Stream:
    """One session, for as long as one stream is open."""

    def __init__(
        self,
        session: Session,
        surroundings: Surroundings,
        *,
        note_change: Callable[[], None],
        traceparent: str = "",
        tape: SessionTape | None = None,
    ) -> None:
        self._tape = tape
        self._desk = Desk(session, surroundings, note_change, traceparent)
        self._conversation = Conversation(self._desk)
        self._request_slots = asyncio.Semaphore(REQUEST_BOUND)
        self._is_input_over = False

    @property
    def outbox(self) -> Outbox:
        """Where its events are."""
        return self._desk.outbox

    async def run(self, requests: AsyncIterator[wire.ConverseRequest]) -> None:
        """Hold the conversation until its client has nothing more to say and the last answer is over."""
        try:
            work = (self._read(requests), self._conversation.prefill.run())
            await self._desk.mailbox.handle(*work, is_over=self._is_over)
        finally:
            self._conversation.abandon()
            await self._desk.keeper.close()
            await self.outbox.close()

    def drain(self, grace_ms: int) -> None:
        """The service is going away: let the answer in progress finish, begin no other."""

        async def ending() -> None:
            self._conversation.is_draining = True
            await self.outbox.send(wire.SessionEnding(session_id=self._desk.session.session_id, grace_ms=grace_ms))

        self._desk.mailbox.post(ending)

    def _is_over(self) -> bool:
        return (self._is_input_over or self._conversation.is_draining) and not self._desk.turn.is_answering

    async def _read(self, requests: AsyncIterator[wire.ConverseRequest]) -> None:
        async for request in requests:
            if request.HasField("client_records"):
                self._take_client_records(request.client_records)
                continue
            self._conversation.quiet.look(self._tape)
            if self._tape is not None:
                self._tape.note(EDGE_CONVERSATION, KIND_REQUEST, request)
            await self._request_slots.acquire()
            self._desk.mailbox.post(lambda request=request: self._take(request))
        self._desk.mailbox.post(self._end_input)

    def _take_client_records(self, records: wire.ClientRecords) -> None:
        if self._tape is not None:
            self._tape.take_client_records(records)

    async def _end_input(self) -> None:
        self._is_input_over = True
        await self._conversation.end_input()

    async def _take(self, request: wire.ConverseRequest) -> None:
        """Handle one request. What is wrong with it is told to the client, and the conversation goes on."""
        self._request_slots.release()
        try:
            await self._handle(request)
        except VitaError as error:
            await self._desk.fail(error, request.client_event_id)

    async def _handle(self, request: wire.ConverseRequest) -> None:
        conversation = self._conversation
        match request.WhichOneof("event"):
            case "audio":
                await conversation.hear(request.audio)
            case "image":
                conversation.see(request.image, request.client_event_id)
            case "interrupt":
                await conversation.stop(request.interrupt.response_id)
            case "configure":
                await self._configure(request.configure.configuration)
            case "commit_audio":
                await conversation.commit_audio()
            case "clear_audio":
                await conversation.clear_audio()
            case "create_response":
                await conversation.ask(request.create_response)
            case "report_playback":
                conversation.report_playback(request.report_playback)
            case "open":
                raise OutOfOrder("the conversation is open already")
            case None:
                raise OutOfOrder("the request is empty, or of an unknown kind")
            case _:
                await self._edit(request)

    async def _edit(self, request: wire.ConverseRequest) -> None:
        """Change or show items."""
        items = self._desk.items
        match request.WhichOneof("event"):
            case "create_item":
                await self._create_item(request)
            case "delete_item":
                await items.delete(request.delete_item.item_id)
            case "truncate_item":
                cut = request.truncate_item
                await items.truncate(cut.item_id, cut.audio_end_ms)
            case _:
                await items.retrieve(request.retrieve_item.item_id)
                return
        self._desk.record_changed()

    async def _create_item(self, request: wire.ConverseRequest) -> None:
        if request.create_item.item.role == ROLE_USER and not request.create_item.previous_item_id:
            await self._conversation.place_pictures()
        if not self._desk.turn_id:
            self._desk.begin_turn()
        item = await self._desk.items.create(request.create_item, self._desk.turn_id)
        self._conversation.prefill.sent_item(item, request.client_event_id)

    async def _configure(self, change: wire.SessionConfiguration) -> None:
        session = self._desk.session
        session.configuration = changed(session.configuration, change, self._desk.policy)
        if change.HasField("turn_detection"):
            await self._conversation.follow(change.turn_detection)
        await self.outbox.send(wire.Configured(configuration=session.configuration))
        self._desk.record_changed()
