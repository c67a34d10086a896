"""One Realtime session: the client's events in, strictly in order; the conversation's out, translated.

Three tasks: one listens to the client, one to the conversation, one sends. An event that cannot be served is answered
with `error`, and the session goes on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_runtime.errors import BadInput, VitaError

from vita_gateway.client_edge import ClientEdge
from vita_gateway.converse import Metadata, Orchestrator
from vita_gateway.media.decoding import MediaDecoder
from vita_gateway.media.encoded import decode_base64
from vita_gateway.media.live_audio import InputAudio, chunks
from vita_gateway.observe import ERRORS
from vita_gateway.openai_errors import ApiError
from vita_gateway.realtime import client_events as client
from vita_gateway.realtime import server_events
from vita_gateway.realtime.configuration import (
    SessionConfiguration,
    adopted,
    conversation_configuration,
    session_object,
    updated,
)
from vita_gateway.realtime.items import item_from
from vita_gateway.realtime.ledger import Ledger, worded
from vita_gateway.realtime.link import Connected, Link, Lost
from vita_gateway.realtime.outbox import Outbox
from vita_gateway.realtime.response_request import response_request
from vita_gateway.realtime.translation import Translation
from vita_gateway.settings import Settings

SHORTEST_COMMIT_MS = 100  # the API's own bound for an utterance committed by hand
LARGE_MESSAGE_BYTES = 262_144  # parsed and resampled in a thread: a few ms on the event loop are enough


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session gets from the process and from its request."""

    settings: Settings
    orchestrator: Orchestrator
    media: MediaDecoder
    metadata: Metadata
    model: str
    session_id: str  # to resume; "": a new session
    edge: ClientEdge


class RealtimeSession:
    """The state of one session, and what each event does to it."""

    def __init__(self, around: Surroundings, outbox: Outbox) -> None:
        self._around = around
        self._outbox = outbox
        self._configuration = SessionConfiguration()
        self._confirmed = self._configuration  # the latest that is in effect
        self._longest_answer: int | None = None  # the service's own limit, once it has said so
        self._ledger = Ledger()
        self._translation = Translation(self._ledger, self._configuration)
        self.link = Link(
            around.orchestrator,
            around.metadata,
            lambda: conversation_configuration(self._configuration, self._longest_answer),
            session_id=around.session_id,
            edge=around.edge,
        )
        self._microphone = InputAudio(self._configuration.audio.input.format.type)
        self._uncommitted_ms = 0.0
        self._unconfirmed: deque[SessionConfiguration] = deque()  # sent and not yet in effect
        self._expires_at_s = int(time.time() + around.settings.session_s)
        self._is_open = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def session_id(self) -> str:
        """The conversation's name."""
        return self.link.session_id

    async def wait_until_idle(self) -> None:
        """Wait until no response is in progress."""
        await self._is_idle.wait()

    async def listen_to_conversation(self) -> None:
        """Pass on what the conversation says.

        Raises:
            VitaError: the conversation cannot go on.
        """
        settings = self._around.settings
        events = self.link.events(settings.connect_s, settings.resume_s)
        try:
            async for event in events:
                match event:
                    case Connected():
                        await self._connected(event.opened)
                    case Lost():
                        self._uncommitted_ms = 0.0
                        await self._outbox.put(*self._translation.lose())
                        self._is_idle.set()
                    case _:
                        await self._heard(event)
        finally:
            await events.aclose()

    async def listen_to_client(self, messages: AsyncIterator[bytes | str]) -> None:
        """Serve the client's events, one after the other, until there are no more.

        Raises:
            VitaError: the conversation is lost for good.
        """
        await self._is_open.wait()
        async for content in messages:
            event_id, kind = None, ""
            try:
                message = await self._parsed(content)
                event_id, kind = client.event_id_of(message), str(message.get("type"))
                await self._serve(client.parse_event(message), kind)
            except ApiError as problem:
                await self._refuse(problem, event_id)
            except VitaError as failure:
                if failure.reason == "ERROR_REASON_COMPONENT_UNAVAILABLE":  # the link gave up: nothing can follow
                    raise
                await self._refuse(worded(failure, None), event_id)

    async def _parsed(self, content: bytes | str) -> client.JsonObject:
        if len(content) < LARGE_MESSAGE_BYTES:
            return client.parse_message(content)
        return await self._around.media.run(lambda: client.parse_message(content))

    async def _refuse(self, problem: ApiError, event_id: str | None) -> None:
        ERRORS.labels("realtime", problem.code).inc()
        await self._outbox.put(server_events.error(problem, event_id))

    async def _connected(self, opened: wire.Opened) -> None:
        if not self._is_open.is_set():
            effective = opened.configuration
            self._use(adopted(self._configuration, effective))
            if effective.HasField("max_output_tokens"):
                self._longest_answer = effective.max_output_tokens
            self._confirmed = self._configuration
            await self._outbox.put(self._session_event("session.created", self._configuration))
            self._is_open.set()
        while self._unconfirmed:  # a resumed conversation was opened with all that was asked for
            await self._confirm()

    async def _heard(self, response: wire.ConverseResponse) -> None:
        if response.HasField("configured"):
            await self._confirm()
            return
        if self._ledger.kind_of(response.failure.client_event_id) == "session.update" and self._unconfirmed:
            self._unconfirmed.popleft()
            self._use(self._unconfirmed[-1] if self._unconfirmed else self._confirmed)
        if response.HasField("audio_committed") or response.HasField("audio_cleared"):
            self._uncommitted_ms = 0.0
        for event in self._translation.translate(response):
            if event["type"] == "error":
                ERRORS.labels("realtime", "conversation").inc()
            await self._outbox.put(event)
        if self._translation.answers:
            self._is_idle.clear()
        else:
            self._is_idle.set()

    async def _confirm(self) -> None:
        self._ledger.settle("session.update")
        if self._unconfirmed:
            self._confirmed = self._unconfirmed.popleft()
            await self._outbox.put(self._session_event("session.updated", self._confirmed))

    def _use(self, configuration: SessionConfiguration) -> None:
        """Go by this configuration from now on."""
        if configuration.audio.input.format != self._configuration.audio.input.format:
            self._microphone = InputAudio(configuration.audio.input.format.type)
        self._configuration = configuration
        self._translation.configuration = configuration

    def _session_event(self, kind: str, session: SessionConfiguration) -> server_events.Event:
        shown = session_object(session, self.link.session_id, self._around.model, self._expires_at_s)
        return {"type": kind, "session": shown}

    async def _serve(self, event: client.ClientEvent, kind: str) -> None:
        """Do what one event asks for."""
        match event:
            case client.SessionUpdate():
                await self._update(event, kind)
            case client.AudioAppend():
                await self._append(event)
            case client.AudioCommit():
                await self._commit(event, kind)
            case client.AudioClear():
                self._microphone.flush()
                await self._ask(kind, event, wire.ConverseRequest(clear_audio=wire.ClearAudio()))
            case client.ItemCreate():
                await self._create_item(event, kind)
            case client.ItemRetrieve(item_id=item_id):
                request = wire.ConverseRequest(retrieve_item=wire.RetrieveItem(item_id=item_id))
                await self._ask(kind, event, request, item_id)
            case client.ItemDelete(item_id=item_id):
                request = wire.ConverseRequest(delete_item=wire.DeleteItem(item_id=item_id))
                await self._ask(kind, event, request, item_id)
            case client.ItemTruncate(item_id=item_id, audio_end_ms=end_ms):
                cut = wire.TruncateItem(item_id=item_id, audio_end_ms=end_ms)
                await self._ask(kind, event, wire.ConverseRequest(truncate_item=cut), item_id)
            case client.ResponseCreate():
                await self._create_response(event, kind)
            case client.ResponseCancel(response_id=response_id):
                interrupt = wire.Interrupt(response_id=response_id or "")
                await self._ask(kind, event, wire.ConverseRequest(interrupt=interrupt), is_answered=False)
            case _:
                raise AssertionError(f"{kind} is parsed but not served")

    async def _ask(
        self,
        kind: str,
        event: client.ClientEvent,
        request: wire.ConverseRequest,
        key: str = "",
        *,
        is_answered: bool = True,
    ) -> None:
        """Send a request under a name of its own, so that its failure finds the client's event."""
        request.client_event_id = self._ledger.note(kind, event.event_id, key, is_answered=is_answered)
        await self._send(request)

    async def _send(self, request: wire.ConverseRequest) -> None:
        await self.link.send(request, self._around.settings.resume_s)

    async def _update(self, event: client.SessionUpdate, kind: str) -> None:
        try:
            changed = updated(self._configuration, event.session)
        except ApiError as problem:
            param = f"session.{problem.param}" if problem.param else "session"
            raise dataclasses.replace(problem, param=param) from problem
        if changed.instructions is not None:
            self._around.media.text("session.instructions", changed.instructions)
        self._use(changed)
        self._unconfirmed.append(changed)
        configure = wire.Configure(configuration=conversation_configuration(changed, self._longest_answer))
        await self._ask(kind, event, wire.ConverseRequest(configure=configure))

    async def _append(self, event: client.AudioAppend) -> None:
        settings = self._around.settings
        for index, frame in enumerate(event.video_frames or []):
            picture = await self._around.media.frame(f"video_frames[{index}]", frame)
            await self._send(wire.ConverseRequest(image=picture))
        microphone = self._microphone
        content = decode_base64("audio", event.audio, settings.max_body_bytes)
        added_ms = len(content) / microphone.format.sample_bytes / microphone.format.rate_hz * 1000
        is_by_hand = self._configuration.audio.input.turn_detection is None
        if is_by_hand and self._uncommitted_ms + added_ms > settings.max_audio_s * 1000:
            seconds = f"{(self._uncommitted_ms + added_ms) / 1000:.1f} s"
            raise BadInput("audio", "utterance is too long", value=seconds, limit=f"{settings.max_audio_s:g} s")
        if len(content) < LARGE_MESSAGE_BYTES:
            heard = microphone.push(content)
        else:
            heard = await self._around.media.run(lambda: microphone.push(content))
        self._uncommitted_ms += added_ms
        for chunk in chunks(heard):
            await self._send(wire.ConverseRequest(audio=chunk))

    async def _commit(self, event: client.AudioCommit, kind: str) -> None:
        is_by_hand = self._configuration.audio.input.turn_detection is None
        if is_by_hand and self._uncommitted_ms < SHORTEST_COMMIT_MS:
            raise ApiError(
                f"Error committing input audio buffer: the buffer holds {self._uncommitted_ms:.0f} ms of audio, "
                f"expected at least {SHORTEST_COMMIT_MS} ms",
                code="input_audio_buffer_commit_empty",
            )
        for chunk in chunks(self._microphone.flush()):
            await self._send(wire.ConverseRequest(audio=chunk))
        self._uncommitted_ms = 0.0
        await self._ask(kind, event, wire.ConverseRequest(commit_audio=wire.CommitAudio()))

    async def _create_item(self, event: client.ItemCreate, kind: str) -> None:
        item = await item_from(event.item, self._around.media, self._configuration.audio.input.format.type)
        item.item_id = item.item_id or f"item_{uuid.uuid4().hex[:24]}"
        create = wire.CreateItem(item=item, previous_item_id=event.previous_item_id or "")
        await self._ask(kind, event, wire.ConverseRequest(create_item=create), item.item_id)

    async def _create_response(self, event: client.ResponseCreate, kind: str) -> None:
        options = event.response or client.ResponseOptions()
        self._around.media.text("response.instructions", options.instructions or "")
        number = uuid.uuid4().hex
        wanted, create = response_request(options, self._configuration, number)
        self._translation.wanted[number] = wanted
        await self._ask(kind, event, wire.ConverseRequest(create_response=create), number)
