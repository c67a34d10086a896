"""`GET /v1/realtime`: lets a client in, runs its session, and ends it with the close code that says why."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from vita.recording.v1.recording_pb2 import Form
from vita_runtime import tracing
from vita_runtime.errors import AtCapacity, Draining, VitaError
from vita_runtime.logging import bind

from vita_gateway.auth import Door, chosen_subprotocol
from vita_gateway.client_edge import HEADER, PARAMETER, ClientEdge, wished_form
from vita_gateway.converse import Orchestrator
from vita_gateway.media.decoding import MediaDecoder
from vita_gateway.observe import CLOSES, SESSIONS, Passage, passage
from vita_gateway.openai_errors import SERVER, ApiError, api_error
from vita_gateway.realtime import server_events
from vita_gateway.realtime.link import Link
from vita_gateway.realtime.outbox import Outbox, SlowReader
from vita_gateway.realtime.session import RealtimeSession, Surroundings
from vita_gateway.settings import Settings

logger = logging.getLogger(__name__)

# Close codes. Clients reconnect by themselves after 1001, 1011 and 1013, and not after 1008.
LEFT, GOING_AWAY, POLICY, DEFECT, TRY_LATER = 1000, 1001, 1008, 1011, 1013
LAST_WORDS_S = 2.0  # for a client that may not be reading
RETRYABLE = (429, 503, 504)  # HTTP statuses of failures that pass


class Ended(Exception):
    """The session ends for a reason of ours."""

    def __init__(self, code: int, problem: ApiError | None) -> None:
        super().__init__(code)
        self.code = code
        self.problem = problem


class Realtime:
    """The endpoint, and how many sessions it holds."""

    def __init__(
        self, settings: Settings, door: Door, orchestrator: Orchestrator, media: MediaDecoder, draining: asyncio.Event
    ) -> None:
        self._settings = settings
        self._door = door
        self._orchestrator = orchestrator
        self._media = media
        self._draining = draining
        self._session_count = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def wait_until_empty(self, timeout_s: float) -> None:
        """Wait until all sessions have ended, but no longer than `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()

    async def __call__(self, websocket: WebSocket) -> None:
        """Serve one connection from its handshake to its end."""
        request = passage(websocket.headers)
        protocols: list[str] = websocket.scope.get("subprotocols", [])
        try:
            self._door.check_host(websocket.headers)
            self._door.check_origin(websocket.headers)
            self._door.check_key(websocket.headers, protocols)
            edge = ClientEdge(_wish(websocket))
        except ApiError as problem:
            headers = {**problem.headers(), "x-request-id": request.request_id}
            await websocket.send_denial_response(JSONResponse(problem.body(), problem.status, headers))
            return
        await websocket.accept(chosen_subprotocol(protocols), [(b"x-request-id", request.request_id.encode())])
        self._session_count += 1
        self._is_empty.clear()
        SESSIONS.inc()
        try:
            with bind(request_id=request.request_id), tracing.span("realtime session", traceparent=request.traceparent):
                await self._serve(websocket, request, edge)
        finally:
            SESSIONS.dec()
            self._session_count -= 1
            if self._session_count == 0:
                self._is_empty.set()

    async def _serve(self, websocket: WebSocket, request: Passage, edge: ClientEdge) -> None:
        outbox = Outbox(websocket, self._settings.slow_reader_s, edge)
        around = Surroundings(
            settings=self._settings,
            orchestrator=self._orchestrator,
            media=self._media,
            metadata=request.metadata(),
            model=websocket.query_params.get("model", self._settings.model)[:100],
            session_id=websocket.query_params.get("session_id", "")[:100],
            edge=edge,
        )
        session = RealtimeSession(around, outbox)
        code, problem = LEFT, None
        try:
            self._admit()
            await self._run(session, websocket, outbox)
        except* Ended as ended:
            code, problem = _first(ended)
        except* SlowReader:
            code = POLICY
        except* VitaError as failures:
            code, problem = _because(failures)
        except* WebSocketDisconnect:
            code = LEFT
        except* Exception:
            logger.exception("realtime session failed")
            code, problem = DEFECT, ApiError("the server failed", type=SERVER, code="internal_error", status=500)
        CLOSES.labels(str(code)).inc()
        fields = {"session_id": session.session_id, "close_code": code, "duration_ms": request.age_ms}
        logger.info("realtime session ended", extra=fields)
        if websocket.client_state is WebSocketState.CONNECTED:
            await _close(websocket, outbox, code, problem)

    def _admit(self) -> None:
        if self._draining.is_set():
            raise Draining("the server is shutting down")
        if self._session_count > self._settings.max_sessions:
            raise AtCapacity(f"{self._settings.max_sessions} sessions are open; try again later", retry_after_ms="1000")

    async def _run(self, session: RealtimeSession, websocket: WebSocket, outbox: Outbox) -> None:
        """Run the session's tasks until one of them ends it; leaving cancels the conversation behind it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outbox.run())
            tasks.create_task(session.listen_to_conversation())
            tasks.create_task(session.listen_to_client(_messages(websocket, session.link)))
            tasks.create_task(session.link.report_client())
            tasks.create_task(self._end_in_time(session))

    async def _end_in_time(self, session: RealtimeSession) -> None:
        """End the session when its time is up, or when the server shuts down and no answer is in progress."""
        try:
            async with asyncio.timeout(self._settings.session_s):
                await self._draining.wait()
        except TimeoutError as error:
            message = f"Your session hit the maximum duration of {self._settings.session_s / 60:g} minutes."
            raise Ended(GOING_AWAY, ApiError(message, code="session_expired")) from error
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                await session.wait_until_idle()
        raise Ended(GOING_AWAY, None)


def _wish(websocket: WebSocket) -> Form:
    """Return how much the client wishes to have recorded; browsers cannot send headers."""
    return wished_form(websocket.headers.get(HEADER, websocket.query_params.get(PARAMETER, "")))


async def _messages(websocket: WebSocket, link: Link) -> AsyncIterator[bytes | str]:
    """Yield what the client sends.

    Raises:
        WebSocketDisconnect: it has left.
    """
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            await link.part()
            raise WebSocketDisconnect(message.get("code", LEFT), message.get("reason"))
        text = message.get("text")
        content = text if text is not None else message.get("bytes", b"")
        link.edge.received(content)
        yield content


async def _close(websocket: WebSocket, outbox: Outbox, code: int, problem: ApiError | None) -> None:
    """Say the last words, if there are any and the client still reads, and close."""
    reason = problem.message[:100] if problem else ""
    with contextlib.suppress(TimeoutError, SlowReader, WebSocketDisconnect, RuntimeError):
        async with asyncio.timeout(LAST_WORDS_S):
            if code != POLICY or problem is not None:
                await outbox.flush()
            if problem is not None:
                await outbox.put(server_events.error(problem, None))
                await outbox.flush()
            await websocket.close(code, reason)


def _because(failures: ExceptionGroup[VitaError]) -> tuple[int, ApiError]:
    """Return the close code and the wording for a conversation that cannot go on."""
    failure = next(_leaves(failures))
    problem = api_error(failure)
    if problem.status in RETRYABLE:
        return TRY_LATER, problem
    return (DEFECT if problem.status >= 500 else POLICY), problem


def _first(ended: ExceptionGroup[Ended]) -> tuple[int, ApiError | None]:
    for error in ended.exceptions:
        if isinstance(error, Ended):
            return error.code, error.problem
    return GOING_AWAY, None


def _leaves(group: ExceptionGroup[VitaError]) -> Iterator[VitaError]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
