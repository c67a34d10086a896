"""Rows 12, 13 and 23: interruptions, in a crowd and alone, and how long the event loop was held meanwhile.

In the crowd every session has its microphone open and voice activity judged; each is answered at the pace of playback
and interrupted by a recorded voice in mid-answer. *The event* is the sending of the last frame of the microphone's
before the client is told that output is held: what came up with that frame decided it.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
import wave
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ROLE_USER, ContentPart, Item
from vita_replay.modelled.costs import costs_of
from vita_runtime.errors import StartupError

from vita_evaluation.plumbing.answers import EIGHT_SECONDS
from vita_evaluation.plumbing.arithmetic import Spread, percentile, spread
from vita_evaluation.plumbing.frames import FRAME_BYTES, FRAME_MS
from vita_evaluation.plumbing.pairs import Bench
from vita_evaluation.plumbing.rig import Orchestrator, Servers
from vita_evaluation.plumbing.servers import ASKED, CLOSED, ENDED
from vita_evaluation.plumbing.table import Row, Target
from vita_evaluation.plumbing.turns import Call, Question, audio, configuration, event, say, session, sound_of

VOICE = Path("examples/interrupt.wav")
SESSIONS = 50
ROUNDS = 3
REPLICAS = "2"  # of each component: one takes 64 sessions
TALK_S = (2.5, 4.5)  # into an answer of 8 s, when sound still flows: the orchestrator is 2 s ahead of playback
AFTER_S = 0.6  # how long output is listened for once it should have ended
ALONE = 12  # interruptions of one session, for the codes
ALONE_S = (0.1, 2.5)  # after the first sound; at ×10 three sentences take 3 s to make
THREE_SENTENCES = " ".join([EIGHT_SECONDS] * 3)
FRAME_S = FRAME_MS / 1000
FRAMES_BEFORE = 12  # of the question, half a second


@dataclass(slots=True)
class Heard:
    """One session's answer and its interruption."""

    is_over: bool = False
    sent_s: list[float] = field(default_factory=list[float])  # when the microphone's frames left
    sound_s: list[float] = field(default_factory=list[float])  # when sound came
    first_sound: asyncio.Event = field(default_factory=asyncio.Event)
    held_s: float = 0.0
    is_interrupted: bool = False
    sound_after: int = 0  # messages of sound between the hold and the end of the answer

    def stop_frames(self) -> float:
        """Return how many frames after the event sound still came. Raises StartupError: nothing was interrupted."""
        if not self.held_s or not self.is_interrupted:
            raise StartupError("a voice of the bench interrupted nothing")
        event_s = max((at_s for at_s in self.sent_s if at_s < self.held_s), default=self.held_s)
        last_s = max((at_s for at_s in self.sound_s if at_s > event_s), default=event_s)
        return (last_s - event_s) / FRAME_S


async def rows(bench: Bench) -> list[Row]:
    """Measure the crowd, then one session at a time."""
    found: list[Row] = []
    if bench.wants("12", "23"):
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(bench.rig.servers("x1", "--replicas", REPLICAS))
            orchestrator = await stack.enter_async_context(bench.rig.orchestrator(servers.endpoints))
            found += await _crowd(bench, orchestrator)
    if bench.wants("13"):
        async with (
            bench.rig.servers("x10", "--answer", " ".join([EIGHT_SECONDS] * 3)) as servers,
            bench.rig.orchestrator(servers.endpoints) as orchestrator,
        ):
            found += await _waste(bench, servers, orchestrator)
    return [row for row in found if bench.wants(row.number)]


def voice() -> list[bytes]:
    """Return a recorded voice, in frames, and a little silence after it."""
    with wave.open(str(VOICE)) as file:
        sound = file.readframes(file.getnframes()) + bytes(FRAME_BYTES * 10)
    return [sound[at : at + FRAME_BYTES] for at in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES)]


async def _crowd(bench: Bench, orchestrator: Orchestrator) -> list[Row]:
    draw, frames = random.Random(7), voice()
    size = SESSIONS // 5 if bench.is_quick else SESSIONS
    heard: list[Heard] = []
    stalls: list[float] = []
    for number in range(1 if bench.is_quick else ROUNDS):
        before = await _stalls(orchestrator)
        work: list[Awaitable[Heard]] = [_interrupted(orchestrator, frames, draw.uniform(*TALK_S)) for _ in range(size)]
        heard += await asyncio.gather(*work)
        if number or bench.is_quick:  # the first opens connections and makes detectors
            stalls.append(longest_stall_s(before, await _stalls(orchestrator)))
    stops = [one.stop_frames() for one in heard]
    after = sum(one.sound_after for one in heard)
    note = f"{len(stops)} interruptions by a voice, {size} sessions; {after} messages of sound came after the hold."
    p99 = percentile(stops, 0.99)
    bound = "Upper bound of the highest bucket of vita_event_loop_stall_seconds that grew"
    held = f"{bound}, with {size} sessions under voice activity, paced answers and interruptions."
    stall = spread([one / FRAME_S for one in stalls])
    longest = "longest event-loop stall / frame"
    return [
        Row("12", "barge-in stop, frames: p50", spread(stops), Target(1), "x1", note=note),
        Row("12", "barge-in stop, frames: p99", Spread(p99, p99, p99), Target(2), "x1", note=note),
        Row("23", longest, stall, Target(0.25), "x1", _ms(stalls), f"{FRAME_MS} ms", note=held),
    ]


async def _interrupted(orchestrator: Orchestrator, frames: list[bytes], talk_s: float) -> Heard:
    """Hold one session up to the end of its interruption."""
    heard = Heard()
    async with session(orchestrator.channel, configuration(is_paced=True, is_heard=True)) as call:
        reading = asyncio.create_task(_read(call, heard))
        speaking = asyncio.create_task(_speak(call, heard, frames, talk_s))
        await speaking
        await asyncio.sleep(AFTER_S)
        heard.is_over = True
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return heard


async def _speak(call: Call, heard: Heard, frames: list[bytes], talk_s: float) -> None:
    """The microphone: silence, and at some time into the answer a voice; the question comes typed in between."""
    question = Item(role=ROLE_USER, parts=[ContentPart(text="What is it?")])
    due_s, voice_s = time.monotonic() + random.random() * FRAME_S, float("inf")
    rest = iter(frames)
    while True:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        due_s += FRAME_S
        if heard.first_sound.is_set() and voice_s == float("inf"):
            voice_s = time.monotonic() + talk_s
        frame = bytes(FRAME_BYTES) if due_s < voice_s else next(rest, None)
        if frame is None or heard.is_interrupted:
            return
        heard.sent_s.append(time.monotonic())
        await call.write(audio(frame))
        if len(heard.sent_s) == FRAMES_BEFORE:
            await call.write(wire.ConverseRequest(create_item=wire.CreateItem(item=question)))
            await call.write(wire.ConverseRequest(create_response=wire.CreateResponse()))


async def _read(call: Call, heard: Heard) -> None:
    while (response := await event(call)) is not None:
        now_s = time.monotonic()
        match response.WhichOneof("event"):
            case "answer_audio" if not heard.is_interrupted:
                heard.sound_s.append(now_s)
                heard.sound_after += heard.held_s > 0
                heard.first_sound.set()
            case "output_held":
                heard.held_s = now_s
            case "output_released":
                heard.held_s = 0.0
            case "response_done":
                heard.is_interrupted = response.response_done.outcome == wire.RESPONSE_OUTCOME_INTERRUPTED
            case _:
                pass


async def _waste(bench: Bench, servers: Servers, orchestrator: Orchestrator) -> list[Row]:
    """Interrupt one answer after another while it is being made; count codes by when they were made."""
    draw, shares = random.Random(7), list[float]()
    wasted = total = 0.0
    per_code_s = costs_of("x10").speech_decoder.per_token_s
    for _ in range(bench.count(ALONE)):
        await servers.child.report()
        event_s = await _cut(orchestrator, draw.uniform(*ALONE_S))
        await asyncio.sleep(AFTER_S)
        made = (await servers.child.report())["codes"]
        assert isinstance(made, list), "so it is reported"
        before, after = split(
            [(int(clause), float(at_s), int(count)) for clause, at_s, count in made], event_s, per_code_s
        )
        shares.append(after / (before + after))
        wasted, total = wasted + after, total + before + after
    left = await orchestrator.metric("vita_endpoint_in_flight") + await orchestrator.metric("vita_sessions")
    note = f"{wasted:.0f} of {total:.0f} codes were made after the client sent `interrupt` ({len(shares)} answers)."
    return [
        Row("13", "waste after barge-in: codes", spread(shares), Target(0.03), "x10", note=note),
        Row("13", "sessions and streams left over", Spread(left, left, left), Target(0), "x10"),
    ]


async def _cut(orchestrator: Orchestrator, after_s: float) -> float:
    """Ask, and interrupt the answer some time after its first sound; return when."""
    async with session(orchestrator.channel, configuration(is_paced=True)) as call:
        question = Question(seconds=0.5)
        await say(call, sound_of(question.seconds), question.speed)
        await call.write(wire.ConverseRequest(commit_audio=wire.CommitAudio()))
        await call.write(wire.ConverseRequest(create_response=wire.CreateResponse()))
        while (response := await event(call)) is not None and not response.HasField("answer_audio"):
            pass
        await asyncio.sleep(after_s)
        event_s = time.monotonic()
        await call.write(wire.ConverseRequest(interrupt=wire.Interrupt()))
        while (response := await event(call)) is not None and not response.HasField("response_done"):
            pass
        await asyncio.sleep(0.2)
    return event_s


def split(made: Sequence[tuple[int, float, int]], event_s: float, per_code_s: float) -> tuple[float, float]:
    """Return how many codes were made before an event and after it.

    A clause that had not ended when its stream was closed was at work until then; that counts, too, as the share of a
    chunk that it had done.
    """
    before = after = 0.0
    for clause in {clause for clause, _, _ in made}:
        mine = [(at_s, count) for of, at_s, count in made if of == clause]
        chunks = [(at_s, count) for at_s, count in mine if count >= 0]
        closed_s = next((at_s for at_s, count in mine if count == CLOSED), event_s)
        before += sum(count for at_s, count in chunks if at_s <= event_s)
        after += sum(count for at_s, count in chunks if at_s > event_s)
        counts = {count for _, count in mine}
        if closed_s > event_s and ASKED in counts and ENDED not in counts:
            last_s = max([event_s, *(at_s for at_s, count in mine if count != CLOSED)])
            after += max(0.0, closed_s - last_s) / per_code_s
    return before, after


async def _stalls(orchestrator: Orchestrator) -> dict[float, float]:
    """Return the histogram of stalls: how many were at most so long, in s."""
    pairs = await orchestrator.metrics_of("vita_event_loop_stall_seconds_bucket")
    return {float(line.partition('le="')[2].partition('"')[0]): count for line, count in pairs}


def longest_stall_s(before: dict[float, float], after: dict[float, float]) -> float:
    """Return the upper bound of the highest bucket that has grown between two looks at a histogram."""
    longest_s, reached = 0.0, 0.0
    for bound_s in sorted(after):
        count = after[bound_s] - before.get(bound_s, 0.0)
        if count > reached:
            longest_s, reached = bound_s, count
    return longest_s


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms"
