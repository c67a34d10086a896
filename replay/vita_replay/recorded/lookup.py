"""Recorded components that answer one request: a picture, a clause, a window of codes. The request is looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence

from vita.recording.v1.recording_pb2 import Record

from vita_replay.behaviour import Asked, Behaviour, Call, Refused, Send
from vita_replay.calls import Call as RecordedCall
from vita_replay.kserve import reply_again
from vita_replay.pace import Pace
from vita_replay.recorded.scripts import LEFT_S, Script, best, refusal_of

KeyOf = Callable[[Asked], Hashable]


def picture_key(asked: Asked) -> Hashable:
    """A picture, and how it is to be cut."""
    return asked.tensor("PICTURE").raw, asked.scalar("MAX_TILES") if asked.has("MAX_TILES") else 0


def clause_key(asked: Asked) -> Hashable:
    """A clause and its seed."""
    return asked.text("TEXT"), asked.integer("seed")


def window_key(asked: Asked) -> Hashable:
    """A window, and what of it is wanted."""
    return asked.tensor("CODES").raw, asked.scalar("KEEP_FROM"), asked.scalar("KEEP_COUNT")


KEYS: dict[str, tuple[str, KeyOf]] = {
    "vision_encoder": ("picture like this", picture_key),
    "speech_decoder": ("clause like this", clause_key),
    "codec_decoder": ("window like this", window_key),
}


def scripts_of(component: str, calls: Sequence[RecordedCall], records: Sequence[Record]) -> dict[Hashable, Script]:
    """Return what a component answered to what; of what was asked twice, where most is known."""
    found: dict[Hashable, list[Script]] = {}
    for call in calls:
        if call.component != component or not call.requests:
            continue
        asked = call.requests[0]
        try:
            key = KEYS[component][1](Asked(asked.message))
        except Refused:  # as the component itself has refused it
            continue
        replies = tuple(((reply.time_ns - asked.time_ns) / 1e9, reply.message) for reply in call.replies)
        refusal = refusal_of(call, records)
        is_whole = bool(refusal) or _is_ended(component, call)
        found.setdefault(key, []).append(Script(replies, refusal, is_whole))
    return {key: best(scripts) for key, scripts in found.items()}


def _is_ended(component: str, call: RecordedCall) -> bool:
    """Whether the last reply says that it is the last."""
    if not call.replies or component == "codec_decoder":
        return bool(call.replies)
    outputs = call.replies[-1].outputs()
    if component == "speech_decoder":
        return "END" in outputs
    tile = memoryview(outputs["TILE"].raw).cast("i")
    return tile[0] + 1 == tile[1]


class Lookup:
    """Answers as the recording did."""

    def __init__(
        self, component: str, scripts: Mapping[Hashable, Script], pace: Pace, fallback: Behaviour | None = None
    ) -> None:
        self.what, self.key_of = KEYS[component]
        self.scripts, self.pace, self.fallback = scripts, pace, fallback
        self.work = 0  # replies

    def call(self, send: Send) -> Call:
        return _LookedUp(self, send)


class _LookedUp(Call):
    def __init__(self, lookup: Lookup, send: Send) -> None:
        self._lookup, self._send = lookup, send
        self._fallback: Call | None = None

    async def take(self, asked: Asked) -> None:
        lookup, now = self._lookup, asyncio.get_running_loop().time
        started_s = now()
        script = lookup.scripts.get(lookup.key_of(asked))
        if script is None:
            await self._take_unknown(asked)
            return
        after_s = 0.0
        for after_s, message in script.replies:
            await asyncio.sleep(started_s + lookup.pace.spend_s(after_s) - now())
            lookup.work += 1
            await self._send(reply_again(message))
        if script.refusal:
            raise Refused.saying(script.refusal)
        if not script.is_whole:
            await asyncio.sleep(started_s + lookup.pace.spend_s(after_s) + LEFT_S - now())
            raise Refused("INTERNAL", f"the recording holds no more of a {lookup.what}")

    async def finish(self) -> None:
        if self._fallback is not None:
            await self._fallback.finish()

    def close(self) -> None:
        if self._fallback is not None:
            self._fallback.close()

    async def _take_unknown(self, asked: Asked) -> None:
        if self._lookup.fallback is None:
            raise Refused("INTERNAL", f"the recording holds no {self._lookup.what}")
        if self._fallback is None:
            self._fallback = self._lookup.fallback.call(self._send)
        await self._fallback.take(asked)
