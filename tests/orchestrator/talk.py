"""A client of one conversation, on the virtual clock: says things at their time and notes what comes back and when."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item
from vita.media.v1.media_pb2 import AUDIO_ENCODING_PCM_S16LE, IMAGE_ENCODING_JPEG, AudioChunk, AudioClip, ImageFrame
from vita_orchestrator.configuration import changed, default_configuration
from vita_orchestrator.patience import Outages
from vita_orchestrator.policy import Policy
from vita_orchestrator.stream import Stream
from vita_orchestrator.surroundings import Surroundings
from vita_sessions.session import Session

from tests.fakes.components import FakeComponents

FRAME_BYTES = 1024
CHUNK_MS = 32
VOICE, SILENCE = b"\x01\x10", b"\x00\x00"


class LoudVoiceActivity:
    """Hears a voice wherever a frame is not silent."""

    def __init__(self) -> None:
        self._rest = b""

    async def probabilities(self, samples: bytes) -> list[float]:
        whole = self._rest + samples
        end = len(whole) - len(whole) % FRAME_BYTES
        self._rest = whole[end:]
        return [0.95 if any(whole[at : at + FRAME_BYTES]) else 0.02 for at in range(0, end, FRAME_BYTES)]

    def reset(self) -> None:
        self._rest = b""

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Heard:
    """An event, and when it came."""

    at_s: float
    event: wire.ConverseResponse

    @property
    def kind(self) -> str:
        return self.event.WhichOneof("event") or ""


@dataclass(slots=True)
class Talk:
    """One open conversation."""

    fakes: FakeComponents
    session: Session
    requests: asyncio.Queue[wire.ConverseRequest | None] = field(default_factory=asyncio.Queue)
    heard: list[Heard] = field(default_factory=list)
    saves: int = 0
    conversation: Stream | None = None
    surroundings: Surroundings | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    # What the client says.

    async def say(self, event_id: str = "", **event: Message) -> None:
        await self.requests.put(wire.ConverseRequest(client_event_id=event_id, **event))  # type: ignore[arg-type]

    async def speak(self, *parts: tuple[bytes, int], chunk_ms: int = CHUNK_MS) -> None:
        """Send sound as a microphone does: (sample, ms) pairs, in real time."""
        for sample, length_ms in parts:
            for _ in range(length_ms // chunk_ms):
                await self.say(audio=chunk(sample * (chunk_ms * 16)))
                await asyncio.sleep(chunk_ms / 1000)

    async def ask(self, text: str, **response: object) -> None:
        item = Item(role=ROLE_USER, parts=[ContentPart(text=text)])
        await self.say(create_item=wire.CreateItem(item=item))
        await self.say(create_response=wire.CreateResponse(**response))  # type: ignore[arg-type]

    async def finish(self) -> None:
        await self.requests.put(None)

    # What it hears.

    async def until(self, kind: str, count: int = 1, within_s: float = 60.0) -> Heard:
        """Wait for the count-th event of a kind."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1]

    def all(self, kind: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.kind == kind]

    def kinds(self) -> list[str]:
        """Kinds of events in order, runs of one kind written once."""
        return [kind for kind, _ in itertools.groupby(heard.kind for heard in self.heard)]

    def text(self, response: int = 0) -> str:
        wanted = self.response_id(response)
        deltas = [heard.event.text_delta for heard in self.all("text_delta")]
        return "".join(delta.text for delta in deltas if delta.response_id == wanted)

    def sound(self, response: int = 0) -> bytes:
        wanted = self.response_id(response)
        pieces = [heard.event.answer_audio for heard in self.all("answer_audio")]
        return b"".join(piece.audio.samples for piece in pieces if piece.response_id == wanted)

    def response_id(self, index: int) -> str:
        return self.all("response_started")[index].event.response_started.response_id

    def done(self, index: int = 0) -> wire.ResponseDone:
        return self.all("response_done")[index].event.response_done

    def failures(self) -> list[str]:
        return [reason(heard.event.failure.status) for heard in self.all("failure")]

    # Inside.

    def context(self) -> list[tuple[str, str]]:
        """The turns in the model's context now."""
        return self.fakes.llm.live[-1].turns()

    async def stream(self) -> AsyncIterator[wire.ConverseRequest]:
        while (request := await self.requests.get()) is not None:
            yield request

    async def listen(self) -> None:
        assert self.conversation is not None
        async for event in self.conversation.outbox.events():
            self.heard.append(Heard(asyncio.get_running_loop().time(), event))
            async with self._news:
                self._news.notify_all()

    def note_save(self) -> None:
        self.saves += 1


@asynccontextmanager
async def talking(
    fakes: FakeComponents,
    *,
    session: Session | None = None,
    configuration: wire.SessionConfiguration | None = None,
    is_listening: bool = True,
    **policy: int | float,
) -> AsyncGenerator[Talk]:
    """Hold a conversation with fakes inside the block; it must end without an error."""
    rules = replace(Policy(), **policy)  # type: ignore[arg-type]
    ids = itertools.count(1 + 100 * len(session.entries if session is not None else ()))
    surroundings = Surroundings(
        components=fakes.components,
        outages=Outages(asyncio.get_running_loop().time, lambda: fakes.unready),
        policy=rules,
        new_voice_activity=LoudVoiceActivity,
        new_id=lambda kind: f"{kind}_{next(ids)}",
        draw_seed=lambda: 7,
    )
    if session is None:
        settings = changed(default_configuration(rules), configuration or wire.SessionConfiguration(), rules)
        session = Session("sess_1", "tenant", configuration=settings)
    talk = Talk(fakes, session, surroundings=surroundings)
    talk.conversation = Stream(session, surroundings, note_change=talk.note_save)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(talk.conversation.run(talk.stream()))
        if is_listening:
            tasks.create_task(talk.listen())
        yield talk
        await talk.finish()
        async with asyncio.timeout(60):
            await running


def chunk(samples: bytes) -> AudioChunk:
    return AudioChunk(samples=samples, sample_rate_hz=16_000, encoding=AUDIO_ENCODING_PCM_S16LE)


def clip(length_ms: int) -> AudioClip:
    return AudioClip(samples=VOICE * (16 * length_ms), sample_rate_hz=16_000, encoding=AUDIO_ENCODING_PCM_S16LE)


def picture(content: bytes = b"a picture") -> ImageFrame:
    return ImageFrame(content=content, encoding=IMAGE_ENCODING_JPEG)


def reason(status: Message) -> str:
    """The ErrorInfo's reason in a status."""
    from google.rpc.error_details_pb2 import ErrorInfo

    info = ErrorInfo()
    status.details[0].Unpack(info)  # type: ignore[attr-defined]
    return info.reason.removeprefix("ERROR_REASON_")


Check = Callable[[], bool]
