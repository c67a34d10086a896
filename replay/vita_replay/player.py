"""The recorded client, once more: says what it said, when it said it, and not before it has seen what it had seen.

Time alone would not do: a component that is slower today would be interrupted at another word. Nor would order alone: a
microphone is in no hurry. So a request waits for its recorded time after the one before, and for the events that had
gone out in the recording when it came in; where it had to wait for those, everything after it is later by as much.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc.aio
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, KIND_REPLY, KIND_REQUEST, Record
from vita_recordings.bundle import Bundle
from vita_runtime.errors import VitaError

from vita_replay.events import OF_A_RESPONSE, STREAMED

OPEN_S = 10.0
# Without any event: a replay that has diverged may never show what is waited for. Components give up within 10 s.
STALL_S = 12.0
MESSAGE_BYTES = 16 * 2**20  # as the orchestrator's
SILENT = ("client_records", "open")  # what the replayed client does not repeat


@dataclass(slots=True)
class Seen:
    """What a client has seen of a conversation."""

    # How many events of a kind, of a response or of none, and how many bytes of its sound; words are not counted.
    counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    over: set[str] = field(default_factory=set[str])  # responses of which nothing more will come

    def take(self, response: wire.ConverseResponse) -> None:
        """See an event."""
        kind = response.WhichOneof("event") or ""
        if kind == "text_delta":
            return
        event = getattr(response, kind)
        response_id = event.response_id if kind in (*STREAMED, *OF_A_RESPONSE) else ""
        self.counts[kind, response_id] += len(event.audio.samples) if kind == "answer_audio" else 1
        if kind == "response_done":
            self.over.add(response_id)

    def lacks(self, wanted: Seen) -> str:
        """Return what another has seen, and this has not and may still see; empty: nothing."""
        for (kind, response_id), count in wanted.counts.items():
            if self.counts[kind, response_id] < count and response_id not in self.over:
                return f"{kind} of {response_id}" if response_id else f"{kind} {count}"
        return ""

    def copy(self) -> Seen:
        """Return this as it is now."""
        return Seen(Counter(self.counts))


@dataclass(frozen=True, slots=True)
class Step:
    """A request, when it came, and what had gone out by then."""

    request: wire.ConverseRequest
    time_s: float
    seen: Seen


@dataclass(frozen=True, slots=True)
class Script:
    """All that a recorded client said, and all that it saw."""

    steps: Sequence[Step]
    seen: Seen
    end_s: float


def script_of(records: Sequence[Record]) -> Script:
    """Read a client's part out of a recording."""
    steps: list[Step] = []
    seen, end_s = Seen(), 0.0
    for record in records:
        if record.edge != EDGE_CONVERSATION:
            continue
        end_s = record.time_ns / 1e9
        if record.kind == KIND_REPLY:
            event = wire.ConverseResponse.FromString(record.content)
            if not event.HasField("opened"):
                seen.take(event)
        elif record.kind == KIND_REQUEST:
            request = wire.ConverseRequest.FromString(record.content)
            if request.WhichOneof("event") not in SILENT:
                steps.append(Step(request, end_s, seen.copy()))
    return Script(steps, seen, end_s)


class Stage(Protocol):
    """Where a play takes place."""

    def start(self) -> None:
        """The session is open, and nothing has been said."""
        ...

    async def heard(self, request_count: int) -> None:
        """Wait until so many requests have arrived."""
        ...

    def end(self) -> None:
        """All is over, and the stream is about to be left."""
        ...


class Player:
    """Plays one script to a conversation service."""

    def __init__(self, script: Script, now: Callable[[], float]) -> None:
        self._script, self._now = script, now
        self._seen = Seen()
        self._news = asyncio.Condition()
        self._is_ended = False
        self._shift_s = 0.0  # by how much everything is later than recorded
        self.waited_in_vain = ""  # for what, the first time
        self.failure = ""  # with which the service ended the stream

    async def play(self, address: str, opening: wire.Open, stage: Stage) -> None:
        """Open the session and play; return when all has been said, and seen or waited for in vain.

        Args:
            address: The conversation service's.
            opening: How to open the session.
            stage: Who is told when the play begins and ends.

        Raises:
            VitaError: the session cannot be opened.
        """
        options = (("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES))
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            call = ConversationServiceStub(channel).Converse()
            reading: asyncio.Task[None] | None = None
            try:
                await call.write(wire.ConverseRequest(open=opening))
                async with asyncio.timeout(OPEN_S):
                    first = await call.read()
                if not isinstance(first, wire.ConverseResponse) or not first.HasField("opened"):
                    raise VitaError("the replayed session did not open")
                stage.start()
                self._shift_s = self._now()
                reading = asyncio.create_task(self._read(call))
                await stage.heard(await self._say(call))
            except grpc.aio.AioRpcError as error:
                raise VitaError(f"the replayed session ended: {error.details()}") from error
            finally:
                stage.end()
                call.cancel()
                if reading is not None:
                    await asyncio.gather(reading, return_exceptions=True)

    async def _say(self, call: grpc.aio.StreamStreamCall[wire.ConverseRequest, wire.ConverseResponse]) -> int:
        """Say everything, and wait for what was seen last; return how many requests were sent."""
        for sent, step in enumerate(self._script.steps):
            if not self.waited_in_vain and await self._has_waited(step.seen):
                self._shift_s = max(self._shift_s, self._now() - step.time_s)
            await asyncio.sleep(max(0.0, self._shift_s + step.time_s - self._now()))
            if self._is_ended:
                return sent
            await call.write(step.request)
        await self._has_waited(self._script.seen)
        return len(self._script.steps)

    async def _has_waited(self, wanted: Seen) -> bool:
        """Wait until that has been seen; return whether one had to."""
        if not self._seen.lacks(wanted):
            return False
        while (lacking := self._seen.lacks(wanted)) and not self._is_ended:
            try:
                async with asyncio.timeout(STALL_S), self._news:
                    await self._news.wait()
            except TimeoutError:
                self.waited_in_vain = self.waited_in_vain or lacking
                break
        return True

    async def _read(self, call: grpc.aio.StreamStreamCall[wire.ConverseRequest, wire.ConverseResponse]) -> None:
        try:
            while isinstance(event := await call.read(), wire.ConverseResponse):
                self._seen.take(event)
                async with self._news:
                    self._news.notify_all()
        except grpc.aio.AioRpcError as error:
            self.failure = error.details() or error.code().name
        finally:
            self._is_ended = True
            async with self._news:
                self._news.notify_all()


def opening_of(bundle: Bundle) -> wire.Open:
    """Return how the replayed client opens: it resumes the session of the snapshot."""
    session = bundle.snapshot.session
    return wire.Open(session_id=session.session_id, tenant_id=session.tenant_id)
