"""The gateway as an ASGI application: routes, and what every request goes through."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from vita_runtime import tracing
from vita_runtime.errors import VitaError
from vita_runtime.logging import bind

from vita_gateway.auth import Door
from vita_gateway.chat.completions import ChatCompletions, ClientGone
from vita_gateway.chat.transcripts import TranscriptCache
from vita_gateway.converse import Orchestrator
from vita_gateway.media.decoding import MediaDecoder, MediaLimits
from vita_gateway.observe import ERRORS, Passage, log_request, passage
from vita_gateway.openai_errors import SERVER, ApiError, api_error
from vita_gateway.realtime.endpoint import Realtime
from vita_gateway.settings import Settings

logger = logging.getLogger(__name__)

# Probes and scrapes come by address and without a key; everything else is for API clients.
PROBES = ("/healthz", "/readyz")
KEYLESS = (*PROBES, "/metrics")
GONE = 499  # nginx's status for a client that closed the connection; only the log sees it
EXPOSED_HEADERS = ("x-request-id",)


class Gateway:
    """Everything the routes share; close it when the process ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started_s = int(time.time())
        self.draining = asyncio.Event()
        self.door = Door(settings.api_key or None, settings.allowed_hosts, settings.allowed_origins)
        self.orchestrator = Orchestrator(settings.orchestrator_address)
        limits = MediaLimits(
            max_audio_s=settings.max_audio_s,
            max_image_bytes=settings.max_image_bytes,
            max_image_pixels=settings.max_image_pixels,
            max_text_bytes=settings.max_text_bytes,
            max_body_bytes=settings.max_body_bytes,
        )
        self.media = MediaDecoder(limits)
        self.chat = ChatCompletions(settings, self.orchestrator, self.media, TranscriptCache())
        self.realtime = Realtime(settings, self.door, self.orchestrator, self.media, self.draining)

    async def close(self) -> None:
        """Let go of the orchestrator and the threads."""
        await self.orchestrator.close()
        self.media.close()


def build_app(gateway: Gateway) -> ASGIApp:
    """Return the application."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.close()

    app = FastAPI(title="VITA gateway", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_routes(app, gateway)
    _add_error_handlers(app)
    passed: ASGIApp = Entrance(app, gateway.door)
    if gateway.settings.allowed_origins:
        passed = CORSMiddleware(
            passed,
            allow_origins=gateway.settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    return passed


def _add_routes(app: FastAPI, gateway: Gateway) -> None:
    model = {"id": gateway.settings.model, "object": "model", "created": gateway.started_s, "owned_by": "vita-serve"}

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await gateway.chat(request, request.state.passage)

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    @app.get("/v1/models/{name}")
    async def one_model(name: str) -> Response:
        if name != gateway.settings.model:
            raise ApiError("there is no such model here", code="model_not_found", param="model", status=404)
        return JSONResponse(model)

    @app.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        is_ready = not gateway.draining.is_set() and await gateway.orchestrator.check()
        return JSONResponse({"status": "ready" if is_ready else "not ready"}, 200 if is_ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app.add_api_websocket_route("/v1/realtime", gateway.realtime.__call__)
    del chat_completions, models, one_model, healthz, readyz, metrics  # the application holds them


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> Response:
        return _error_response(error)

    @app.exception_handler(VitaError)
    async def failed(_: Request, error: VitaError) -> Response:
        return _error_response(api_error(error))

    @app.exception_handler(HTTPException)
    async def not_routed(_: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        return _error_response(ApiError(str(error.detail), code=code, status=error.status_code))

    @app.exception_handler(ClientGone)
    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: Exception) -> Response:
        del error
        return Response(status_code=GONE)

    del refused, failed, not_routed, gone


def _error_response(error: ApiError) -> Response:
    ERRORS.labels("http", error.code).inc()
    return JSONResponse(error.body(), error.status, error.headers())


class Entrance:
    """What every HTTP request goes through: a name, the door, the log. WebSockets do the same in `Realtime`."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        named = passage(request.headers)
        request.state.passage = named
        observed = _Observed(send, named)
        try:
            with bind(request_id=named.request_id), tracing.span("http request", traceparent=named.traceparent):
                self._admit(request)
                await self._app(scope, receive, observed)
        except ApiError as problem:
            await _error_response(problem)(scope, receive, observed)
        except Exception as error:
            logger.exception("request failed", extra={"request_id": named.request_id})
            if observed.status:
                raise
            defect = ApiError("the server failed", type=SERVER, code="internal_error", status=500)
            await _error_response(defect)(scope, receive, observed)
            del error
        finally:
            log_request(_route_of(scope), request.method, observed.status or GONE, named)

    def _admit(self, request: Request) -> None:
        if request.url.path not in PROBES:
            self._door.check_host(request.headers)
        self._door.check_origin(request.headers)
        if request.url.path not in KEYLESS:
            self._door.check_key(request.headers, [])


class _Observed:
    """Sends on, notes the status, and puts the request's name on the answer."""

    def __init__(self, send: Send, named: Passage) -> None:
        self._send: Callable[[Message], Awaitable[None]] = send
        self._named = named
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [
                (b"x-request-id", self._named.request_id.encode()),
                (b"openai-processing-ms", str(self._named.age_ms).encode()),
            ]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await self._send(message)


def _route_of(scope: Scope) -> str:
    """Return the route's pattern: paths are the client's, and would be labels without end."""
    return getattr(scope.get("route"), "path", "none")
