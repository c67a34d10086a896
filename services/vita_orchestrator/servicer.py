"""The gRPC edge of conversations: admission, sessions and their leases, and the translation of errors.

Recoverable failures are events within the stream (conversation.py); a stream ends with a status only when it cannot
begin or go on: no capacity, no store, no such session, a breach of the protocol, a session taken over, drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator

import grpc.aio
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.conversation_service_pb2_grpc import ConversationServiceServicer
from vita.conversation.v1.item_pb2 import ITEM_STATUS_IN_PROGRESS
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, FORM_UNSPECIFIED, KIND_REPLY
from vita_recordings.recorder import SessionTape, Tapes
from vita_recordings.tape import current, use
from vita_runtime import logging as vita_logging
from vita_runtime import tracing
from vita_runtime.errors import AtCapacity, Draining, OutOfOrder, VitaError
from vita_sessions.session import Session
from vita_sessions.store import SessionStore

from vita_orchestrator.channel import together
from vita_orchestrator.configuration import changed, default_configuration
from vita_orchestrator.measures import SESSIONS
from vita_orchestrator.outbox import ClientStalledError
from vita_orchestrator.saving import Saver
from vita_orchestrator.status import to_status
from vita_orchestrator.stream import Stream
from vita_orchestrator.surroundings import Surroundings

logger = logging.getLogger(__name__)

OPEN_DEADLINE_S = 10.0  # for a client to say what it wants
RETRY_AFTER_MS = 1000  # a turn is over about as soon

Requests = AsyncIterator[wire.ConverseRequest]
StreamContext = grpc.aio.ServicerContext[wire.ConverseRequest, wire.ConverseResponse]


class ConversationServicer(ConversationServiceServicer):
    """Serves Converse."""

    def __init__(
        self,
        surroundings: Surroundings,
        store: SessionStore,
        *,
        max_sessions: int,
        owner: str,
        tapes: Tapes | None = None,  # None: nothing is recorded
    ) -> None:
        self._surroundings = surroundings
        self._store = store
        self._max_sessions = max_sessions
        self._owner = owner
        self._tapes = tapes
        self._open: set[Stream] = set()
        self._admitted = 0
        self._is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def session_count(self) -> int:
        """Conversations open now."""
        return len(self._open)

    def drain(self, grace_ms: int) -> None:
        """Open nothing new; let the answers in progress end."""
        self._is_draining = True
        for stream in self._open:
            stream.drain(grace_ms)

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no conversation is open, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def Converse(self, request_iterator: Requests, context: StreamContext) -> None:
        """See conversation_service.proto.

        Written with `context.write` and not as a generator: when a client vanishes during a write, gRPC leaves a
        generator to the garbage collector, while here the failure arrives and everything is released at once.
        """
        try:
            self._admit()
            try:
                await self._converse(request_iterator, context)
            finally:
                self._admitted -= 1
        except VitaError as error:
            details = to_status(error).SerializeToString()
            await context.abort(error.code, error.message, (("grpc-status-details-bin", details),))
        except ClientStalledError as stalled:
            logger.warning("client does not read; its stream is ended", extra={"reason": str(stalled)})
            await context.abort(grpc.StatusCode.CANCELLED, "the client does not read")
        except grpc.aio.BaseError:
            logger.info("client is gone")

    def _admit(self) -> None:
        if self._is_draining:
            raise Draining("the service is going away: reconnect")
        if self._admitted >= self._max_sessions:
            raise AtCapacity(
                "as many conversations are open as can be held",
                limit=str(self._max_sessions),
                retry_after_ms=str(RETRY_AFTER_MS),
            )
        self._admitted += 1

    async def _converse(self, requests: Requests, context: StreamContext) -> None:
        opening = await _first(requests)
        session, saver = await self._open_session(opening)
        tape = self._tapes.tape_for(opening.recording, session.session_id, session.tenant_id) if self._tapes else None
        opened = wire.Opened(
            session_id=session.session_id,
            is_resumed=bool(opening.session_id),
            configuration=session.configuration,
            recording=tape.form if tape is not None else FORM_UNSPECIFIED,
        )
        traceparent = tracing.incoming_traceparent(context.invocation_metadata())
        note_change = saver.note if saver is not None else _keep_nothing
        with vita_logging.bind(session_id=session.session_id), recorded(tape):
            stream = Stream(session, self._surroundings, note_change=note_change, traceparent=traceparent, tape=tape)
            await stream.outbox.send(opened)
            with self._opened(stream):
                async with together() as tasks:
                    tasks.create_task(_write(stream, context, self._surroundings.policy.client_stall_s))
                    tasks.create_task(_hold(stream, saver, requests))

    @contextlib.contextmanager
    def _opened(self, stream: Stream) -> Iterator[None]:
        """Count a conversation as open inside the block."""
        self._open.add(stream)
        self._idle.clear()
        SESSIONS.inc()
        try:
            yield
        finally:
            self._open.discard(stream)
            SESSIONS.dec()
            if not self._open:
                self._idle.set()

    async def _open_session(self, opening: wire.Open) -> tuple[Session, Saver | None]:
        """Create or resume the session. Raises StoreUnavailable, NotFound, BadInput."""
        policy = self._surroundings.policy
        if opening.session_id:
            session, lease = await self._store.open(opening.session_id, opening.tenant_id, self._owner)
            session.entries = [entry for entry in session.entries if entry.item.status != ITEM_STATUS_IN_PROGRESS]
            session.configuration = changed(session.configuration, opening.configuration, policy)
            return session, Saver(self._store, session, lease)
        session = Session(
            session_id=self._surroundings.new_id("sess"),
            tenant_id=opening.tenant_id,
            configuration=changed(default_configuration(policy), opening.configuration, policy),
            created_ms=int(time.time() * 1000),
        )
        if opening.is_ephemeral:
            await self._store.ping()  # without the store there are no quotas: one rule for all new sessions
            return session, None
        lease = await self._store.create(session, self._owner)
        return session, Saver(self._store, session, lease)


async def _first(requests: Requests) -> wire.Open:
    """Return the opening request. Raises OutOfOrder: it is another, or none comes."""
    try:
        async with asyncio.timeout(OPEN_DEADLINE_S):
            first = await anext(aiter(requests), None)
    except TimeoutError:
        raise OutOfOrder("no request came to open the conversation", limit=f"{OPEN_DEADLINE_S:g} s") from None
    if first is None or not first.HasField("open"):
        raise OutOfOrder("the first request must open the conversation")
    return first.open


async def _write(stream: Stream, context: StreamContext, stall_s: float) -> None:
    """Send the conversation's events, as fast as the client reads. Raises ClientStalledError: it does not."""
    tape = current()
    async for response in stream.outbox.events():
        if tape is not None:
            tape.note(EDGE_CONVERSATION, KIND_REPLY, response)
        try:
            async with asyncio.timeout(stall_s):
                await context.write(response)
        except TimeoutError:
            raise ClientStalledError(f"nothing read for {stall_s:g} s") from None


async def _hold(stream: Stream, saver: Saver | None, requests: Requests) -> None:
    """Hold the conversation and keep its record; end both when either ends."""
    work = [asyncio.create_task(stream.run(requests))]
    if saver is not None:
        work.append(asyncio.create_task(saver.run()))
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        if saver is not None:
            await saver.finish()


@contextlib.contextmanager
def recorded(tape: SessionTape | None) -> Iterator[None]:
    """Note what this task, and those it starts, do inside the block."""
    use(tape)
    try:
        yield
    finally:
        use(None)
        if tape is not None:
            tape.close()


def _keep_nothing() -> None:
    """An ephemeral session has no record."""
