"""A recorded speech encoder: embeddings as a function of the sound so far.

What was recorded is a list of utterances: their sound, and after how much of it which embeddings came. A live utterance
is whichever recorded one its sound agrees with; as long as several do, it does not matter which is taken, and what is
out already is not sent again. However the sound is cut into pushes: embeddings go out once the sound has come that they
had needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from vita_components.tensors import Tensor, integer_tensor

from vita_replay.behaviour import Asked, Behaviour, Call, Message, Refused, Send
from vita_replay.calls import Call as RecordedCall
from vita_replay.kserve import error_reply, reply_to
from vita_replay.pace import Pace
from vita_replay.recorded.scripts import LEFT_S

TURN_END = ("FINISHED", "HEARD_MS")
UNKNOWN = Refused("INTERNAL", "the recording holds no utterance that sounds like this")


@dataclass(frozen=True, slots=True)
class Emission:
    """Embeddings of a recorded utterance."""

    needed_bytes: int  # of sound, before they came
    is_after_finish: bool
    delay_s: float  # since the request that brought what was needed
    start: int  # rows before these
    rows: bytes
    width: int
    is_end: bool
    turn_end: tuple[Tensor, ...] = ()  # FINISHED and HEARD_MS, where the speech encoder had a head that says so

    @property
    def end(self) -> int:
        """Rows up to the end of these."""
        return self.start + (len(self.rows) // (2 * self.width) if self.width else 0)


@dataclass(slots=True)
class Utterance:
    """A recorded utterance."""

    sound: bytes = b""
    emissions: list[Emission] = field(default_factory=list[Emission])
    is_finished: bool = False  # its sound was said to be all

    @property
    def is_whole(self) -> bool:
        """Whether all its embeddings are known."""
        return bool(self.emissions) and self.emissions[-1].is_end

    def agrees(self, at: int, chunk: bytes) -> bool:
        """Whether sound that comes at a place may be this one's."""
        if self.is_finished and at + len(chunk) > len(self.sound):
            return False
        known = self.sound[at : at + len(chunk)]
        return chunk[: len(known)] == known


def utterances_of(calls: Sequence[RecordedCall]) -> list[Utterance]:
    """Return the utterances of a recording, those first of which most is known."""
    found = [_utterance(call) for call in calls if call.component == "speech_encoder" and call.opened_ns is not None]
    return sorted(found, key=lambda utterance: (utterance.is_whole, len(utterance.sound)), reverse=True)


def _utterance(call: RecordedCall) -> Utterance:
    utterance, requests = Utterance(), {request.number for request in call.requests}
    sound = bytearray()
    asked_ns = rows = 0
    for _, passed in call.passed:
        if passed.number in requests:
            asked_ns = passed.time_ns
            op = passed.parameter("op")
            samples = passed.input("SAMPLES")
            sound += samples.raw if samples is not None else b""
            utterance.is_finished = utterance.is_finished or op == "finish"
            continue
        found = passed.outputs()
        embeddings = found.get("EMBEDDINGS") or Tensor("EMBEDDINGS", "FP16", (0, 0), b"")
        delay_s = (passed.time_ns - asked_ns) / 1e9
        emission = Emission(
            len(sound),
            utterance.is_finished,
            delay_s,
            rows,
            embeddings.raw,
            embeddings.shape[-1],
            "END" in found,
            tuple(found[name] for name in TURN_END if name in found),
        )
        utterance.emissions.append(emission)
        rows = emission.end
    utterance.sound = bytes(sound)
    return utterance


class RecordedSpeechEncoder:
    """Answers sound as the recording did."""

    def __init__(self, utterances: Sequence[Utterance], pace: Pace, fallback: Behaviour | None = None) -> None:
        self.utterances, self.pace, self.fallback = utterances, pace, fallback
        self.work = 0  # embeddings

    def call(self, send: Send) -> Call:
        return _Hearing(self, send)


class _Hearing(Call):
    """A live utterance."""

    def __init__(self, encoder: RecordedSpeechEncoder, send: Send) -> None:
        self._encoder, self._send = encoder, send
        self._opened: Asked | None = None
        self._taken: list[Asked] = []  # for the fallback, which has to hear everything
        self._fallback: Call | None = None
        self._agreeing: list[Utterance] = []
        self._heard = self._planned = self._sent = 0  # bytes of sound; rows
        self._due: asyncio.Queue[tuple[float, Emission | None]] = asyncio.Queue()
        self._speaking: asyncio.Task[None] | None = None

    async def take(self, asked: Asked) -> None:
        if asked.op == "open":
            self.close()
            self._opened, self._agreeing = asked, list(self._encoder.utterances)
            self._heard = self._planned = self._sent = 0
            self._speaking = asyncio.create_task(self._speak(asked))
        if self._opened is None:
            raise Refused("COMPONENT_UNAVAILABLE", "there is no such utterance")
        if self._encoder.fallback is not None:
            self._taken.append(asked)
        if self._fallback is not None:
            await self._fallback.take(asked)
        elif asked.op == "end":
            self.close()
        elif asked.op in ("push", "finish") and not self._hear(asked):
            await self._take_unknown()

    async def finish(self) -> None:
        if self._speaking is not None:
            await self._speaking
        if self._fallback is not None:
            await self._fallback.finish()

    def close(self) -> None:
        self._opened = None
        self._taken.clear()
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None
        if self._fallback is not None:
            self._fallback.close()
            self._fallback = None

    def _hear(self, asked: Asked) -> bool:
        """Hear more, and plan what is known to come of it; False: nothing in the recording sounds like this."""
        is_all = asked.op == "finish"
        if is_all:
            self._agreeing = [u for u in self._agreeing if u.is_finished and len(u.sound) == self._heard]
        else:
            chunk = asked.tensor("SAMPLES").raw
            self._agreeing = [u for u in self._agreeing if u.agrees(self._heard, chunk)]
            self._heard += len(chunk)
        if not self._agreeing:
            return False
        self._plan(self._agreeing[0], is_all)
        return True

    def _plan(self, utterance: Utterance, is_all: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        for emission in utterance.emissions:
            is_due = emission.needed_bytes <= self._heard and (is_all or not emission.is_after_finish)
            if is_due and (emission.end > self._planned or emission.is_end):
                self._planned = emission.end
                self._due.put_nowait((now_s + self._encoder.pace.spend_s(emission.delay_s), emission))
        if is_all and not utterance.is_whole:
            self._due.put_nowait((now_s + LEFT_S, None))

    async def _speak(self, opened: Asked) -> None:
        """Send what is due, when it is due."""
        now = asyncio.get_running_loop().time
        while True:
            at_s, emission = await self._due.get()
            await asyncio.sleep(at_s - now())
            if emission is None:
                await self._send(error_reply(str(Refused("INTERNAL", "the recording holds no more of this utterance"))))
                return
            await self._send(self._embeddings(opened, emission))
            if emission.is_end:
                return

    def _embeddings(self, opened: Asked, emission: Emission) -> Message:
        """Those rows of an emission that are not out yet."""
        rows = emission.rows[max(0, self._sent - emission.start) * emission.width * 2 :]
        count = len(rows) // (emission.width * 2) if emission.width else 0
        self._sent, self._encoder.work = max(self._sent, emission.end), self._encoder.work + count
        end = [integer_tensor("END", [1])] if emission.is_end else []
        embeddings = Tensor("EMBEDDINGS", "FP16", (count, emission.width), rows)
        return reply_to(opened, embeddings, *end, *emission.turn_end)

    async def _take_unknown(self) -> None:
        """Let the fallback hear everything again; what it says of what is out already is dropped."""
        if self._encoder.fallback is None:
            raise UNKNOWN
        if self._speaking is not None:
            self._speaking.cancel()
        self._fallback = self._encoder.fallback.call(self._send_rest)
        for asked in self._taken:
            await self._fallback.take(asked)

    async def _send_rest(self, message: Message) -> None:
        response = message.infer_response
        if len(response.outputs) and response.outputs[0].name == "EMBEDDINGS":
            count, width = response.outputs[0].shape
            out = min(count, self._sent)
            self._sent -= out
            response.outputs[0].shape[0] = count - out
            response.raw_output_contents[0] = response.raw_output_contents[0][out * width * 2 :]
        await self._send(message)
