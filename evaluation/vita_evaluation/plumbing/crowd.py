"""Rows 8 to 11: many open microphones at once, through the orchestrator and through the smallest possible relay.

Every session sends a frame of 40 ms each 40 ms; four frames go on as one piece, which is answered. Pieces say when
their last frame was sent, and whoever gets them notes how late they come. The orchestrator decides no turns here
(`turn_detection` is off): what is left is the relay itself. Voice activity is in rows 12 and 23.

People do not begin to speak together. A session has something to do with each frame, more with each piece, and most
with each block of rows that the model reads, once in 1.28 s; sessions that begin within one frame do all of it within
one frame, for ever, and what is measured then is how long a burst of 200 pieces takes. So they begin at random times
within one block, the same ones for both ways.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from vita_orchestrator.hearing import BLOCK_ROWS

from vita_evaluation.plumbing.arithmetic import Spread, exponent, paired, percentile, twins
from vita_evaluation.plumbing.frames import FRAME_MS, FRAMES_PER_PIECE, stamped
from vita_evaluation.plumbing.pairs import Bench
from vita_evaluation.plumbing.raw import open_raw
from vita_evaluation.plumbing.rig import Child, Orchestrator
from vita_evaluation.plumbing.table import Row, Target
from vita_evaluation.plumbing.turns import Question, ask, audio, configuration, session

SIZES = (20, 50, 100, 200)
FEW, MANY = SIZES[0], SIZES[-1]
REPLICAS = "4"  # of each component: a replica takes 64 sessions
WINDOW_S = 5.0
ROW_MS = 80
BEGIN_S = BLOCK_ROWS * ROW_MS / 1000  # within which sessions begin
SETTLE_S = BEGIN_S + 0.5  # from the last session's opening to the first measured frame; and for all to end
ROUNDS = 2  # of the few and the many, after one of all sizes, which warms the processes up
KEPT_BYTES = 3000 * 32  # the ear's ring (vita_orchestrator/ear.py)
ROW_BYTES_PER_S = 12.5 * 384 * 2
SHORT_SESSIONS = 1000
SHORT_AT_ONCE = 8

Send = Callable[[], Awaitable[None]]
Opening = Callable[[AsyncExitStack], Awaitable[Send]]


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a number of sessions came to."""

    size: int
    delays_ms: tuple[float, ...]
    cpu_s: float  # of the process in the middle, without what it uses when idle
    messages: int  # through the process in the middle, in and out
    memory_bytes: int
    heard_s: float  # sound a session had sent at the end, on average

    @property
    def messages_per_core_s(self) -> float:
        """Messages for each second of CPU."""
        return self.messages / self.cpu_s


@dataclass(frozen=True, slots=True)
class Way:
    """A way from microphones to a speech encoder."""

    middle: Child
    end: Child
    open: Opening
    idle: float = 0.0  # CPU share of the process in the middle with nobody there


async def rows(bench: Bench) -> list[Row]:
    """Measure all sizes, then the few and the many again in turn."""
    found: list[Row] = []
    if bench.wants("8", "9", "10", "11"):
        async with _ways(bench) as (ours, raw):
            crowds: dict[str, list[Crowd]] = {"ours": [], "raw": []}
            sizes = [*SIZES, *((FEW, MANY) * (0 if bench.is_quick else ROUNDS))]
            for size in sizes:
                for name, way in (("raw", raw), ("ours", ours)):
                    crowds[name].append(await _crowd(way, size))
            found += relay_rows(crowds["ours"], crowds["raw"])
    if bench.wants("11"):
        found += await _short_sessions(bench)
    return [row for row in found if bench.wants(row.number)]


@asynccontextmanager
async def _ways(bench: Bench) -> AsyncGenerator[tuple[Way, Way]]:
    async with AsyncExitStack() as stack:
        arguments = ("--stamped", "--replicas", REPLICAS)
        servers = await stack.enter_async_context(bench.rig.servers("zero", *arguments))
        orchestrator = await stack.enter_async_context(bench.rig.orchestrator(servers.endpoints))
        sink, address = await stack.enter_async_context(bench.rig.raw("sink"))
        relay, relay_address = await stack.enter_async_context(bench.rig.raw("relay", address))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(relay_address))
        before_s = orchestrator.child.cpu_s()
        await asyncio.sleep(2.0)
        idle = (orchestrator.child.cpu_s() - before_s) / 2.0

        async def open_ours(held: AsyncExitStack) -> Send:
            call = await held.enter_async_context(session(orchestrator.channel, configuration()))
            return lambda: call.write(audio(stamped()))

        async def open_raw_one(held: AsyncExitStack) -> Send:
            call = open_raw(channel)
            held.callback(call.cancel)
            return lambda: call.write(stamped())

        yield Way(orchestrator.child, servers.child, open_ours, idle), Way(relay, sink, open_raw_one)


async def _crowd(way: Way, size: int) -> Crowd:
    """Let `size` sessions speak, and look at them for a while."""
    sent = [0] * size
    async with AsyncExitStack() as held:
        sends = [await way.open(held) for _ in range(size)]
        draw = random.Random(size)
        work = [_speak(index, send, sent, draw.uniform(0, BEGIN_S)) for index, send in enumerate(sends)]
        speaking = [asyncio.create_task(one) for one in work]
        await asyncio.sleep(SETTLE_S)
        await way.end.report()
        before, cpu_s, started_s = sum(sent), way.middle.cpu_s(), time.monotonic()
        await asyncio.sleep(WINDOW_S)
        cpu_s = way.middle.cpu_s() - cpu_s - way.idle * (time.monotonic() - started_s)
        frames = sum(sent) - before
        noted = await way.end.report()
        memory = way.middle.memory_bytes()
        for task in speaking:
            task.cancel()
        await asyncio.gather(*speaking, return_exceptions=True)
    await asyncio.sleep(SETTLE_S)
    delays = noted["delays_ms"]
    assert isinstance(delays, list), "so it is reported"
    messages = frames + 2 * frames // FRAMES_PER_PIECE  # frames in, pieces out, their answers back
    heard_s = sum(sent) / size * FRAME_MS / 1000
    return Crowd(size, tuple(map(float, delays)), max(cpu_s, 1e-3), messages, memory, heard_s)


async def _speak(index: int, send: Send, sent: list[int], wait_s: float) -> None:
    """Send a frame each 40 ms, after a wait."""
    due_s = time.monotonic() + wait_s
    while True:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await send()
        sent[index] += 1
        due_s += FRAME_MS / 1000


def relay_rows(ours: list[Crowd], raw: list[Crowd]) -> list[Row]:
    """Say what the crowds came to; the first of each size grew in fresh processes, the others found them warm."""
    warm, raw_warm = (crowds[len(SIZES) :] or crowds for crowds in (ours, raw))
    rates, raw_rates = ([crowd.messages_per_core_s for crowd in of_size(crowds, MANY)] for crowds in (warm, raw_warm))
    shown = (f"{statistics.median(rates):.0f}/s/core", f"{statistics.median(raw_rates):.0f}/s/core")
    note = f"{MANY} sessions of {1000 // FRAME_MS} frames/s each; frames in, pieces out and answers back are counted."
    twin = twins(rates, raw_rates)
    relay = Row("8", "relay: messages/s/core / raw relay", paired(rates, raw_rates), _LEAST, "zero", *shown, twin, note)
    return [relay, *_delay_rows(warm, raw_warm), *_growth_rows(ours[: len(SIZES)], raw[: len(SIZES)], twin)]


def _delay_rows(ours: list[Crowd], raw: list[Crowd]) -> list[Row]:
    few, many, raw_many = of_size(ours, FEW), of_size(ours, MANY), of_size(raw, MANY)
    p50_few, p50_many, p50_raw = (
        [percentile(one.delays_ms, 0.5) for one in crowds] for crowds in (few, many, raw_many)
    )
    p99, raw_p99 = ([percentile(one.delays_ms, 0.99) for one in crowds] for crowds in (many, raw_many))
    twin = twins(*([percentile(half, 0.5) for half in halves(one)] for one in few + many))
    raw_few = statistics.median(percentile(one.delays_ms, 0.5) for one in of_size(raw, FEW))
    note = f"p50 of the raw relay: {raw_few:.2f} ms at {FEW}, {statistics.median(p50_raw):.2f} ms at {MANY}."
    crowded, tail = f"crowding: p50 at {MANY} / at {FEW}", f"crowding: p99 at {MANY} / raw relay"
    return [
        Row("9", crowded, paired(p50_many, p50_few), Target(1.5), "zero", _ms(p50_many), _ms(p50_few), twin, note),
        Row("9", tail, paired(p99, raw_p99), Target(2), "zero", _ms(p99), _ms(raw_p99), twin),
    ]


def _growth_rows(ours: list[Crowd], raw: list[Crowd], twin: float) -> list[Row]:
    growth, raw_growth = (exponent([one.size for one in all], [one.cpu_s for one in all]) for all in (ours, raw))
    few, many = ours[0], ours[-1]
    per_session = (many.memory_bytes - few.memory_bytes) / (many.size - few.size)
    own = KEPT_BYTES + many.heard_s * (32_000 + ROW_BYTES_PER_S)
    cores, raw_growths = f"{many.cpu_s / WINDOW_S:.2f} cores at {MANY}", f"raw relay {raw_growth:.2f}"
    memory, kilobytes = "memory per session / its own bytes", (_kb(per_session), _kb(own))
    return [
        Row("10", "exponent of CPU growth", _one(growth), Target(1.0), "zero", cores, raw_growths, twin),
        Row("11", memory, _one(per_session / own), Target(3), "zero", *kilobytes),
    ]


def of_size(crowds: list[Crowd], size: int) -> list[Crowd]:
    """Return those of a size."""
    return [crowd for crowd in crowds if crowd.size == size]


def _ms(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ms"


_LEAST = Target(0.6, is_least=True)


def halves(crowd: Crowd) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the delays of the window's first half and of its second."""
    middle = len(crowd.delays_ms) // 2
    return crowd.delays_ms[:middle], crowd.delays_ms[middle:]


def _one(value: float) -> Spread:
    return Spread(value, value, value)


def _kb(count: float) -> str:
    return f"{count / 1024:.0f} KB"


async def _short_sessions(bench: Bench) -> list[Row]:
    """Open and close many sessions, each with a turn, and see what the process keeps of them."""
    async with bench.rig.servers("zero") as servers, bench.rig.orchestrator(servers.endpoints) as orchestrator:
        total = bench.count(SHORT_SESSIONS)
        sizes = [await _memory_after(orchestrator, total * 4 // 10)]
        sizes += [await _memory_after(orchestrator, total * 3 // 10) for _ in range(2)]
        left = await orchestrator.metric("vita_sessions") + await orchestrator.metric("vita_endpoint_in_flight")
    kept = (sizes[-1] - sizes[0]) / (total * 6 // 10)
    note = (
        f"After {total * 4 // 10}, {total * 7 // 10} and {total} sessions with a turn each, the process has "
        + ", ".join(f"{size / 2**20:.1f}" for size in sizes)
        + " MB."
    )
    return [
        Row("11", "kept of a session that is over, KB", _one(kept / 1024), Target(1.0), "zero", note=note),
        Row("11", "sessions and streams left over", _one(left), Target(0), "zero"),
    ]


async def _memory_after(orchestrator: Orchestrator, count: int) -> int:
    """Return the memory after so many more sessions."""
    numbers = iter(range(count))

    async def some() -> None:
        for _ in numbers:
            await ask(orchestrator.channel, Question(seconds=0.5, speed=100.0))

    await asyncio.gather(*(some() for _ in range(SHORT_AT_ONCE)))
    await asyncio.sleep(1.0)
    return orchestrator.child.memory_bytes()
