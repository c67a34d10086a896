"""An orchestrator that holds no model: a real grpc.aio server that answers by script and remembers what it was told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import conversation_service_pb2_grpc as service
from vita.conversation.v1 import item_pb2
from vita.media.v1 import media_pb2

WORDS = ("It is ", "a red ", "circle.")
SOUND_MS = 200  # a chunk
SOUND = b"\x10\x00" * (24 * SOUND_MS)
CHUNKS = 3


def status(code: grpc.StatusCode, reason: str, message: str = "no", **metadata: str) -> status_pb2.Status:
    """Return a status as the real orchestrator words it."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="vita", metadata=metadata))
    return status_pb2.Status(code=code.value[0], message=message, details=[detail])


@dataclass
class Script:
    """How responses go."""

    words: tuple[str, ...] = WORDS
    chunk_count: int = CHUNKS
    outcome: wire.ResponseOutcome = wire.RESPONSE_OUTCOME_COMPLETED
    failure: status_pb2.Status | None = None  # with the outcome FAILED
    waits_before_end: asyncio.Event | None = None
    waits_before_start: asyncio.Event | None = None
    refusal: status_pb2.Status | None = None  # instead of opening
    item_refusal: status_pb2.Status | None = None  # for every item
    dies_on_response: bool = False  # the stream breaks in the middle of an answer


class FakeConversation:
    """One Converse stream."""

    def __init__(self, script: Script, session_id: str, is_resumed: bool, items: list[str]) -> None:
        self.script = script
        self.session_id = session_id
        self.is_resumed = is_resumed
        self.items = items
        self.requests: list[wire.ConverseRequest] = []
        self.metadata: dict[str, str] = {}
        self.cancelled = asyncio.Event()  # the stream has ended; no test lets it end by itself
        self.outbox: asyncio.Queue[wire.ConverseResponse | status_pb2.Status | None] = asyncio.Queue()
        self._sequence = 0
        self._responses = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._active: dict[str, wire.CreateResponse] = {}

    def events(self, name: str) -> list[object]:
        """Return all requests of one kind."""
        return [getattr(request, name) for request in self.requests if request.HasField(name)]

    @property
    def heard(self) -> bytes:
        """All microphone sound."""
        return b"".join(request.audio.samples for request in self.requests if request.HasField("audio"))

    def say(self, **event: object) -> None:
        """Send one event."""
        self._sequence += 1
        self.outbox.put_nowait(wire.ConverseResponse(sequence_number=self._sequence, **event))  # type: ignore[arg-type]

    def fail(self, failure: status_pb2.Status, name: str) -> None:
        """Send a failure for the request of that name."""
        self.say(failure=wire.Failure(status=failure, client_event_id=name))

    async def take(self, request: wire.ConverseRequest) -> None:
        """Do what a request asks for."""
        name = request.client_event_id
        kind = request.WhichOneof("event")
        if kind == "configure":
            self.say(configured=wire.Configured(configuration=request.configure.configuration))
        elif kind == "create_item":
            self._create(request.create_item, name)
        elif kind == "create_response":
            self._respond(request.create_response, name)
        elif kind == "commit_audio":
            item_id = f"item_audio{len(self.items)}"
            previous = self.items[-1] if self.items else ""
            self.items.append(item_id)
            self.say(audio_committed=wire.AudioCommitted(item_id=item_id, previous_item_id=previous))
            item = item_pb2.Item(item_id=item_id, role=item_pb2.ROLE_USER, status=item_pb2.ITEM_STATUS_COMPLETED)
            self.say(item_added=wire.ItemAdded(item=item, previous_item_id=previous))
        elif kind == "clear_audio":
            self.say(audio_cleared=wire.AudioCleared())
        elif kind == "interrupt":
            self._interrupt(name)
        elif kind in ("delete_item", "retrieve_item", "truncate_item"):
            self._look_up(request, kind, name)

    def _create(self, create: wire.CreateItem, name: str) -> None:
        item = create.item
        if self.script.item_refusal is not None:
            self.fail(self.script.item_refusal, name)
            return
        item.item_id = item.item_id or f"item_{len(self.items)}_of_{self.session_id}"
        if item.item_id in self.items:
            self.fail(status(grpc.StatusCode.ALREADY_EXISTS, "ERROR_REASON_ALREADY_EXISTS", "it exists"), name)
            return
        previous = create.previous_item_id or (self.items[-1] if self.items else "")
        self.items.append(item.item_id)
        self.say(item_added=wire.ItemAdded(item=item, previous_item_id=previous))

    def _look_up(self, request: wire.ConverseRequest, kind: str, name: str) -> None:
        item_id = getattr(request, kind).item_id
        if item_id not in self.items:
            self.fail(status(grpc.StatusCode.NOT_FOUND, "ERROR_REASON_NOT_FOUND", "no such item"), name)
        elif kind == "delete_item":
            self.items.remove(item_id)
            self.say(item_deleted=wire.ItemDeleted(item_id=item_id))
        elif kind == "retrieve_item":
            part = item_pb2.ContentPart(text="hello")
            item = item_pb2.Item(item_id=item_id, role=item_pb2.ROLE_USER, parts=[part])
            self.say(item_retrieved=wire.ItemRetrieved(item=item))
        else:
            end_ms = request.truncate_item.audio_end_ms
            self.say(item_truncated=wire.ItemTruncated(item_id=item_id, audio_end_ms=end_ms, text="It"))

    def _interrupt(self, name: str) -> None:
        if not self._tasks:
            self.fail(status(grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_NO_RESPONSE_ACTIVE", "nothing"), name)
            return
        response_id, task = next(iter(self._tasks.items()))
        task.cancel()
        self.end(response_id, wire.RESPONSE_OUTCOME_CANCELLED)

    def _respond(self, create: wire.CreateResponse, name: str) -> None:
        if self._tasks and not create.is_out_of_band:
            self.fail(
                status(grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_RESPONSE_ACTIVE", "one is active"), name
            )
            return
        self._responses += 1
        response_id = f"resp_{self._responses}"
        self._active[response_id] = create
        self._tasks[response_id] = asyncio.create_task(self._answer(response_id, create))

    async def _answer(self, response_id: str, create: wire.CreateResponse) -> None:
        script = self.script
        if script.waits_before_start is not None:
            await script.waits_before_start.wait()
        self.start(response_id, create)
        if script.dies_on_response:
            self.say(text_delta=wire.TextDelta(response_id=response_id, text=WORDS[0]))
            self.outbox.put_nowait(status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="gone"))
            return
        for index in range(max(len(script.words), script.chunk_count)):
            if index < len(script.words):
                self.say(text_delta=wire.TextDelta(response_id=response_id, text=script.words[index]))
            if create.configuration.modality != wire.MODALITY_TEXT and index < script.chunk_count:
                self.sound(response_id, index * SOUND_MS)
            await asyncio.sleep(0)
        if script.waits_before_end is not None:
            await script.waits_before_end.wait()
        self.end(response_id, script.outcome)

    def start(self, response_id: str, create: wire.CreateResponse | None = None) -> None:
        """Begin a response."""
        create = create or wire.CreateResponse()
        self._active[response_id] = create
        started = wire.ResponseStarted(
            response_id=response_id, item_id=f"item_{response_id}", metadata=create.metadata, generation=1
        )
        self.say(response_started=started)
        judged = wire.QueryJudged(
            response_id=response_id, state=wire.QUERY_STATE_SPEECH, speech_probability=0.9, noise_probability=0.1
        )
        self.say(query_judged=judged)

    def sound(self, response_id: str, start_ms: int) -> None:
        """Send a chunk of an answer's sound."""
        chunk = media_pb2.AudioChunk(samples=SOUND, sample_rate_hz=24_000, encoding=media_pb2.AUDIO_ENCODING_PCM_S16LE)
        self.say(answer_audio=wire.AnswerAudio(response_id=response_id, audio=chunk, start_ms=start_ms))

    def end(self, response_id: str, outcome: wire.ResponseOutcome) -> None:
        """End a response."""
        self._tasks.pop(response_id, None)
        create = self._active.pop(response_id)
        said = "".join(self.script.words)
        item = item_pb2.Item(
            item_id=f"item_{response_id}",
            role=item_pb2.ROLE_ASSISTANT,
            parts=[item_pb2.ContentPart(text=said)],
            status=item_pb2.ITEM_STATUS_COMPLETED,
        )
        self.items.append(item.item_id)
        done = wire.ResponseDone(
            response_id=response_id,
            outcome=outcome,
            item=item,
            usage=wire.Usage(input_text_token_count=7, input_audio_token_count=25, output_text_token_count=5),
            failure=self.script.failure if outcome == wire.RESPONSE_OUTCOME_FAILED else None,
            stage_times=wire.StageTimes(first_text_ms=40, first_audio_ms=120),
            audio_ms=SOUND_MS * self.script.chunk_count,
            metadata=create.metadata,
        )
        self.say(response_done=done)

    async def stop(self) -> None:
        """Stop all answers."""
        for task in self._tasks.values():
            task.cancel()


@dataclass
class FakeOrchestrator(service.ConversationServiceServicer):
    """Holds conversations; `script` may be changed at any time and holds for streams opened after."""

    script: Script = field(default_factory=Script)
    conversations: list[FakeConversation] = field(default_factory=list[FakeConversation])
    openings: list[wire.Open] = field(default_factory=list[wire.Open])

    def __post_init__(self) -> None:
        self._items: dict[str, list[str]] = {}

    async def Converse(  # the wire's name
        self,
        requests: AsyncIterator[wire.ConverseRequest],
        context: grpc.aio.ServicerContext[wire.ConverseRequest, wire.ConverseResponse],
    ) -> AsyncIterator[wire.ConverseResponse]:
        """Hold one conversation."""
        first = await anext(requests)
        self.openings.append(first.open)
        if self.script.refusal is not None:
            await end_with(context, self.script.refusal)
        session_id = first.open.session_id or f"sess_{len(self.openings)}"
        items = self._items.setdefault(session_id, [])
        held = FakeConversation(self.script, session_id, bool(first.open.session_id), items)
        held.metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        self.conversations.append(held)
        configuration = wire.SessionConfiguration(instructions="Be brief.")
        configuration.MergeFrom(first.open.configuration)
        held.say(opened=wire.Opened(session_id=session_id, is_resumed=held.is_resumed, configuration=configuration))
        reading = asyncio.create_task(self._read(requests, held))
        try:
            while (said := await held.outbox.get()) is not None:
                if isinstance(said, status_pb2.Status):
                    await end_with(context, said)
                else:
                    yield said
        finally:
            # However it ended: grpc raises one thing while it waits for us and another while it sends.
            held.cancelled.set()
            reading.cancel()
            await held.stop()

    async def _read(self, requests: AsyncIterator[wire.ConverseRequest], held: FakeConversation) -> None:
        async for request in requests:
            held.requests.append(request)
            await held.take(request)


async def end_with(
    context: grpc.aio.ServicerContext[wire.ConverseRequest, wire.ConverseResponse], refusal: status_pb2.Status
) -> None:
    """End the stream with a status; its details travel as grpc-status sends them."""
    code = next(code for code in grpc.StatusCode if code.value[0] == refusal.code)
    metadata = (("grpc-status-details-bin", refusal.SerializeToString()),) if refusal.details else ()
    await context.abort(code, refusal.message, metadata)


@contextlib.asynccontextmanager
async def serving(fake: FakeOrchestrator, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serve a fake; gives its address."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    service.add_ConversationServiceServicer_to_server(fake, server)
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
