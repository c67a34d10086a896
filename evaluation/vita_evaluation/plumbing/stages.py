"""Rows 1 to 4: a turn through five services, against the same in process, against its stages one after another, and
against the least that its costs allow; and what a hop costs, against a bare stream."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from vita_components.connect import connect
from vita_replay.modelled.costs import costs_of
from vita_runtime.errors import StartupError

from vita_evaluation.latency.sequential import ask_sequentially
from vita_evaluation.latency.turns import Query
from vita_evaluation.plumbing.answers import CODES_PER_CHARACTER, EIGHT_SECONDS, ONE_CLAUSE
from vita_evaluation.plumbing.arithmetic import critical_path_s, paired, spread, twins
from vita_evaluation.plumbing.pairs import Bench, Measure, in_turn
from vita_evaluation.plumbing.raw import open_raw
from vita_evaluation.plumbing.table import Row, Target
from vita_evaluation.plumbing.turns import Question, ask, sound_of

ROUNDS = {"zero": 32, "x1": 32, "x10": 12}
GAIN_ROUNDS = 8
ANSWERS = {"zero": ONE_CLAUSE, "x1": EIGHT_SECONDS, "x10": EIGHT_SECONDS}
HOPS = 5  # on the way to the first sound: the last rows, the context, the words, the codes, a window
PINGS = 60  # of a raw stream, a round
PING_BYTES = 1000
QUESTION = Question()
# What the floor of 8.9 was calculated for: speech, a picture of one tile, and an answer of 8 s.
PICTURE = b"\xff\xd8\xff" + bytes(range(256)) * 200
LONG_QUESTION = Question(seconds=10.0, picture=PICTURE, max_tiles=1)
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Places:
    """Where a turn may happen."""

    served: grpc.aio.Channel  # an orchestrator before five services
    local: grpc.aio.Channel  # an orchestrator that has all five within
    sequential: Measure
    raw: Measure


async def rows(bench: Bench) -> list[Row]:
    """Measure with each kind of costs."""
    found: list[Row] = []
    for costs in ROUNDS:
        async with _places(bench, costs) as places:
            if bench.wants("1", *("2",) * (costs == "zero"), *("4",) * (costs != "zero")):
                found += await _measure(bench, costs, places)
            if costs != "zero" and bench.wants("3"):
                found.append(await _gain(bench, costs, places))
    return [row for row in found if bench.wants(row.number)]


@asynccontextmanager
async def _places(bench: Bench, costs: str) -> AsyncGenerator[Places]:
    async with AsyncExitStack() as stack:
        arguments = ("--answer", ANSWERS[costs])
        servers = await stack.enter_async_context(bench.rig.servers(costs, *arguments))
        served = await stack.enter_async_context(bench.rig.orchestrator(servers.endpoints))
        within = ("--costs", costs, *arguments)
        local = await stack.enter_async_context(bench.rig.orchestrator(servers.endpoints, within))
        components = await stack.enter_async_context(connect(servers.endpoints))
        await components.wait_ready(10.0)
        _, address = await stack.enter_async_context(bench.rig.raw("echo"))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))

        async def one_after_another() -> float:
            query = Query(sound_of(LONG_QUESTION.seconds), PICTURE, max_tile_count=1)
            return (await ask_sequentially(components, query, f"bench-{next(_numbers)}")).first_audio_ms

        await _check_same_sound(served.channel, local.channel)
        yield Places(served.channel, local.channel, one_after_another, lambda: ping_ms(channel))


async def _check_same_sound(served: grpc.aio.Channel, local: grpc.aio.Channel) -> None:
    """Refuse to compare what is not the same. Raises StartupError."""
    whole = Question(is_whole=True)
    if (await ask(served, whole)).sound != (await ask(local, whole)).sound:
        raise StartupError("the answer differs between the components in process and those behind gRPC")


async def ping_ms(channel: grpc.aio.Channel) -> float:
    """Return the median time of a message and its echo on an open stream."""
    call, message, times = open_raw(channel), bytes(PING_BYTES), list[float]()
    for _ in range(PINGS):
        started_s = time.perf_counter()
        await call.write(message)
        await call.read()
        times.append((time.perf_counter() - started_s) * 1000)
    call.cancel()
    return statistics.median(times[PINGS // 6 :])


def _first_audio(channel: grpc.aio.Channel, question: Question) -> Measure:
    async def measure() -> float:
        return (await ask(channel, question)).first_audio_s * 1000

    return measure


async def _measure(bench: Bench, costs: str, places: Places) -> list[Row]:
    """Rows 1, 2 and 4."""
    kinds = [_first_audio(places.served, QUESTION), _first_audio(places.local, QUESTION), places.raw]
    a, b, raw = await in_turn(kinds, bench.count(ROUNDS[costs]))
    twin, a_ms, b_ms = twins(a, b), statistics.median(a), statistics.median(b)
    shown = f"{a_ms:.1f} ms"
    target = Target(1.05) if costs == "x1" else Target()
    found = [Row("1", "orchestrator overhead", paired(a, b), target, costs, shown, f"{b_ms:.1f} ms", twin)]
    if costs == "zero":
        added = [(one - other) / HOPS for one, other in zip(a, b, strict=True)]
        values = (f"{statistics.median(added) * 1000:.0f} µs", f"{statistics.median(raw) * 1000:.0f} µs")
        found.append(Row("2", "hop tax", paired(added, raw), Target(1.3), costs, *values, twins(a, b, raw)))
        return found
    path_ms = 1000 * critical_path_s(costs_of(costs), QUESTION.samples, EIGHT_SECONDS, CODES_PER_CHARACTER)
    distance, b_shown = spread([one / path_ms for one in a]), f"{path_ms:.1f} ms"
    name = "distance to critical path"
    found.append(Row("4", name, distance, _only(costs, 1.08), costs, shown, b_shown, twins(a)))
    within = spread([one / path_ms for one in b])
    found.append(Row("4", f"{name}, in process", within, Target(), costs, f"{b_ms:.1f} ms", b_shown, twins(b)))
    return found


async def _gain(bench: Bench, costs: str, places: Places) -> Row:
    """Row 3."""
    kinds = [places.sequential, _first_audio(places.served, LONG_QUESTION)]
    slow, fast = await in_turn(kinds, bench.count(GAIN_ROUNDS))
    limit = Target(8, is_least=True) if costs == "x10" else Target()
    shown = (f"{statistics.median(slow):.0f} ms", f"{statistics.median(fast):.1f} ms")
    return Row("3", "streaming gain, 8 s answer", paired(slow, fast), limit, costs, *shown, twins(slow, fast))


def _only(costs: str, bound: float) -> Target:
    """The target is set for ×10, where timers are exact enough; elsewhere the value is told."""
    return Target(bound) if costs == "x10" else Target()
