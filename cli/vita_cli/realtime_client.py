"""A client of the public Realtime API: connects, speaks as a microphone would, and takes down what it hears and when.

Reading goes on in the background, so that one can speak while an answer is coming in. Times are those of `now`, in
seconds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from vita_cli.answers import BYTES_PER_MS, Answer, Call, Event, Received, part

FRAME_MS = 20  # what sound cards hand over; short enough that pacing adds nothing to what is measured
OPEN_S = 10.0
BURST_MS = 100  # a piece of sound sent without pacing

T = TypeVar("T")
Now = Callable[[], float]


class RealtimeError(Exception):
    """The conversation cannot go on; the message is one line for a person."""


class RealtimeClient:
    """One session. Use `connected`."""

    def __init__(self, socket: ClientConnection, now: Now) -> None:
        self.events: list[Received] = []
        self.answers: list[Answer] = []
        self._socket = socket
        self.now = now
        self._changed = asyncio.Condition()
        self._closed = ""

    @property
    def session_id(self) -> str:
        """The session's name, once it has been created."""
        created = next((one for one in self.events if one.kind == "session.created"), None)
        return str(part(created.event, "session").get("id", "")) if created else ""

    async def send(self, kind: str, **fields: object) -> None:
        """Send one event.

        Raises:
            RealtimeError: the connection is closed.
        """
        try:
            await self._socket.send(json.dumps({"type": kind, **fields}))
        except ConnectionClosed as error:
            raise RealtimeError(f"the server closed the connection: {_closing(error)}") from error

    async def configure(self, **session: object) -> None:
        """Change the session, and wait until that is in effect."""
        seen = len(self.events)
        await self.send("session.update", session={"type": "realtime", **session})
        await self.wait_for("session.updated", since=seen)

    async def send_audio(self, pcm: bytes) -> None:
        """Send 24 kHz samples at once."""
        for start in range(0, len(pcm), BURST_MS * BYTES_PER_MS):
            piece = pcm[start : start + BURST_MS * BYTES_PER_MS]
            await self.send("input_audio_buffer.append", audio=base64.b64encode(piece).decode())

    async def send_image(self, picture: bytes, *, detail: str = "auto") -> None:
        """Show a JPEG or PNG."""
        kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
        url = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
        await self._create_message({"type": "input_image", "image_url": url, "detail": detail})

    async def send_text(self, text: str) -> None:
        """Say something in writing; it asks for no answer by itself."""
        await self._create_message({"type": "input_text", "text": text})

    async def send_tool_output(self, call: Call, output: str) -> None:
        """Say what a tool said; it asks for no answer by itself."""
        await self._create_item({"type": "function_call_output", "call_id": call.call_id, "output": output})

    async def wait_for(self, *kinds: str, since: int = 0, timeout_s: float = 30.0) -> Received:
        """Return the first event of one of these kinds from number `since` on.

        Raises:
            RealtimeError: the server said that something is wrong, closed the connection, or said nothing at all for
                `timeout_s`.
        """

        def found() -> Received | None:
            return next((one for one in self.events[since:] if one.kind in kinds), None)

        return await self._wait(found, timeout_s, " or ".join(kinds))

    async def wait_for_answer(
        self, is_wanted: Callable[[Answer], bool], *, since: int = 0, timeout_s: float = 60.0
    ) -> Answer:
        """Return the first answer from number `since` on that is as wanted, as soon as it is.

        Raises:
            RealtimeError: as in `wait_for`.
        """

        def found() -> Answer | None:
            return next((answer for answer in self.answers[since:] if is_wanted(answer)), None)

        return await self._wait(found, timeout_s, "an answer")

    async def read(self) -> None:
        """Take down what comes, until the connection ends."""
        try:
            async for message in self._socket:
                event = cast("Event", json.loads(message))
                self._note(Received(str(event.get("type")), event, self.now()))
                async with self._changed:
                    self._changed.notify_all()
            self._closed = f"{self._socket.close_code} {self._socket.close_reason}".strip()
        except ConnectionClosed as error:
            self._closed = _closing(error)
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, found: Callable[[], T | None], timeout_s: float, what: str) -> T:
        wanted: T | None = None

        def is_over() -> bool:
            nonlocal wanted
            wanted = found()
            return wanted is not None or bool(self._closed) or self._problem() is not None

        try:
            async with self._changed:
                while not is_over():
                    async with asyncio.timeout(timeout_s):
                        await self._changed.wait()
        except TimeoutError as error:
            raise RealtimeError(f"{what} did not come: the server was silent for {timeout_s:g} s") from error
        if wanted is not None:
            return wanted
        raise RealtimeError(self._problem() or f"the server closed the connection: {self._closed}")

    def _problem(self) -> str | None:
        """Return the first thing that the server found wrong."""
        failed = next((one for one in self.events if one.kind == "error"), None)
        return str(part(failed.event, "error").get("message", "unknown error")) if failed else None

    async def _create_message(self, content: Event) -> None:
        await self._create_item({"type": "message", "role": "user", "content": [content]})

    async def _create_item(self, item: Event) -> None:
        seen = len(self.events)
        await self.send("conversation.item.create", item=item)
        await self.wait_for("conversation.item.done", since=seen)

    def _note(self, received: Received) -> None:
        self.events.append(received)
        if received.kind == "response.created":
            response_id = str(part(received.event, "response").get("id"))
            self.answers.append(Answer(response_id, received.at_s))
            return
        response_id = received.event.get("response_id") or part(received.event, "response").get("id")
        for answer in self.answers:
            if answer.response_id == response_id:
                answer.take(received)


class Microphone:
    """Sound as a sound card gives it: a frame at a time, in real time, silence when nothing is said."""

    def __init__(self, client: RealtimeClient, now: Now = time.monotonic) -> None:
        self._client = client
        self.now = now
        self._waiting = bytearray()
        self._is_said = asyncio.Event()
        self._problem: RealtimeError | None = None

    async def say(self, pcm: bytes) -> float:
        """Speak 24 kHz samples; return when the last of them had been sent.

        Raises:
            RealtimeError: the connection was closed meanwhile.
        """
        self._waiting += pcm
        self._is_said.clear()
        await self._is_said.wait()
        if self._problem is not None:
            raise self._problem
        return self.now()

    async def run(self) -> None:
        """Send frames until cancelled, or the connection closes."""
        try:
            await self._send_frames()
        except RealtimeError as problem:
            self._problem = problem
            self._is_said.set()

    async def _send_frames(self) -> None:
        """Send frames in real time; a late one is followed by the next at once, so that no sound is lost."""
        due_s = self.now()
        size = FRAME_MS * BYTES_PER_MS
        while True:
            frame = bytes(self._waiting[:size])
            del self._waiting[:size]
            await self._client.send(
                "input_audio_buffer.append", audio=base64.b64encode(frame.ljust(size, b"\0")).decode()
            )
            due_s += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due_s - self.now()))
            if not self._waiting:
                self._is_said.set()


@contextlib.asynccontextmanager
async def connected(
    url: str, *, api_key: str = "", model: str = "vita", recording: str = "", now: Now = time.monotonic
) -> AsyncGenerator[RealtimeClient, None]:
    """Hold a session with the server at `url` (http or ws), open and greeted, inside the block.

    `recording` ("full" or "redacted") wishes that its turns be recorded.

    Raises:
        RealtimeError: the server cannot be reached, or does not let us in.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    if recording:
        headers["x-vita-recording"] = recording
    try:
        socket = await connect(
            realtime_url(url, model),
            additional_headers=headers,
            open_timeout=OPEN_S,
            max_size=None,
            compression=None,
            proxy=None,
        )
    except InvalidStatus as error:
        raise RealtimeError(f"{url} refused the connection: {_refusal(error)}") from error
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise RealtimeError(f"{url} cannot be reached; is the stack up (vita up)?") from error
    async with socket:
        client = RealtimeClient(socket, now)
        reading = asyncio.create_task(client.read())
        try:
            await client.wait_for("session.created", timeout_s=OPEN_S)
            yield client
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


@contextlib.asynccontextmanager
async def microphone(client: RealtimeClient, now: Now = time.monotonic) -> AsyncGenerator[Microphone, None]:
    """Keep a microphone on inside the block."""
    one = Microphone(client, now)
    running = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def realtime_url(url: str, model: str) -> str:
    """Return the WebSocket's URL for a server's.

    Raises:
        RealtimeError: it is not a URL of http, https, ws or wss.
    """
    parts = urlsplit(url)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.netloc:
        raise RealtimeError(f"{url!r} is not a URL like http://127.0.0.1:8080")
    path = parts.path.rstrip("/")
    if not path.endswith("/v1/realtime"):
        path = f"{path.removesuffix('/v1')}/v1/realtime"
    return f"{schemes[parts.scheme]}://{parts.netloc}{path}?model={model}"


def _closing(error: ConnectionClosed) -> str:
    received = error.rcvd
    return f"{received.code} {received.reason}".strip() if received else "without a word"


def _refusal(error: InvalidStatus) -> str:
    """Return the server's own words for refusing, or its status."""
    try:
        body = cast("object", json.loads(error.response.body or b""))
    except ValueError:
        body = None
    problem = part(cast("Event", body), "error") if isinstance(body, dict) else {}
    return str(problem.get("message") or f"HTTP {error.response.status_code}")
