"""Rows 5 to 7, 15 and 24: what the time to the first sound depends on, and what it should not."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from vita_components.connect import ConnectedComponents, connect

from vita_evaluation.plumbing.arithmetic import Spread, paired, spread, twins
from vita_evaluation.plumbing.monitor import commands_until, pause
from vita_evaluation.plumbing.pairs import Bench, Measure, in_turn
from vita_evaluation.plumbing.rig import Orchestrator
from vita_evaluation.plumbing.table import Row, Target
from vita_evaluation.plumbing.turns import Question, ask, sound_of

PICTURE = b"\xff\xd8\xff" + bytes(range(256)) * 800  # 200 KB that begin as a JPEG; nobody here looks further
ENCODED_S = 10.0
TILED = Question(seconds=2.0, speed=1.0, picture=PICTURE)  # as fast as people speak: the picture has that long
STALL_MS = 400  # of Redis, from the end of a question on
FAST_NOTE = "Sound is sent up to 8 times as fast as people speak, which is harder for whatever works while they do."


def first_audio(channel_of: Orchestrator, question: Question) -> Measure:
    """Return what measures the time to first sound, in ms."""

    async def measure() -> float:
        return (await ask(channel_of.channel, question)).first_audio_s * 1000

    return measure


async def rows(bench: Bench) -> list[Row]:
    """Measure at ×10, where timers are exact enough, and Redis and tracing at ×1, where they would show."""
    found: list[Row] = []
    if bench.wants("5", "6", "7"):
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(bench.rig.servers("x10"))
            orchestrator = await stack.enter_async_context(bench.rig.orchestrator(servers.endpoints))
            components = await stack.enter_async_context(connect(servers.endpoints))
            await components.wait_ready(10.0)
            if bench.wants("5"):
                found.append(await _encoding(bench, orchestrator, components))
            if bench.wants("6"):
                long, short = (Question(seconds=seconds) for seconds in (30.0, 1.0))
                found.append(await _ratio(bench, orchestrator, ("6", "length independence, 30 s / 1 s"), long, short))
            if bench.wants("7"):
                plain = replace(TILED, picture=b"")
                found.append(await _ratio(bench, orchestrator, ("7", "13-tile picture / none"), TILED, plain))
    if bench.wants("15", "24", "24r"):
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(bench.rig.servers("x1"))
            plain = await stack.enter_async_context(bench.rig.orchestrator(servers.endpoints))
            if bench.wants("15"):
                found += await _store(bench, plain)
            for number, name, setting in _options(bench):
                if bench.wants(number):
                    async with bench.rig.orchestrator(servers.endpoints, **setting) as other:
                        found += await _cost_of(bench, number, name, other, plain)
    return found


def _options(bench: Bench) -> list[tuple[str, str, dict[str, str]]]:
    folder = bench.rig.folder
    recording = {"DIR": str(folder / "recordings"), "SHARE": "1"}
    return [
        ("24", "tracing on / off", {"VITA_TRACE_FILE": str(folder / "trace.jsonl")}),
        (
            "24r",
            "recording on / off",
            {
                "VITA_ORCHESTRATOR_RECORDING_DIR": recording["DIR"],
                "VITA_ORCHESTRATOR_RECORDED_SHARE": recording["SHARE"],
            },
        ),
    ]


async def _ratio(
    bench: Bench, orchestrator: Orchestrator, names: tuple[str, str], one: Question, other: Question
) -> Row:
    """Compare the times to first sound of two questions."""
    kinds = [first_audio(orchestrator, question) for question in (one, other)]
    a, b = await in_turn(kinds, bench.count(6))
    values = (f"{statistics.median(a):.1f} ms", f"{statistics.median(b):.1f} ms")
    return Row(*names, paired(a, b), Target(1.05), "x10", *values, twins(a, b), FAST_NOTE)


async def _encoding(bench: Bench, orchestrator: Orchestrator, components: ConnectedComponents) -> Row:
    """Encode time after the end of speech, as the orchestrator measures it, against encoding all of it at once."""
    labels = ("vita_stage_seconds_sum", 'stage="speech_encoder"')

    async def streamed() -> float:
        before_s = await orchestrator.metric(*labels)
        await ask(orchestrator.channel, Question(seconds=ENCODED_S))
        return (await orchestrator.metric(*labels) - before_s) * 1000

    async def at_once() -> float:
        started_s = time.perf_counter()
        async with components.speech_encoder.utterance() as utterance:
            await utterance.push(sound_of(ENCODED_S))
            await utterance.finish()
            _ = [rows async for rows in utterance.embeddings()]
        return (time.perf_counter() - started_s) * 1000

    a, b = await in_turn([streamed, at_once], bench.count(6))
    values = (f"{statistics.median(a):.2f} ms", f"{statistics.median(b):.1f} ms")
    name = f"encoding after {ENCODED_S:.0f} s of speech / at once"
    return Row("5", name, paired(a, b), Target(0.05), "x10", *values, twins(b), FAST_NOTE)


async def _store(bench: Bench, orchestrator: Orchestrator) -> list[Row]:
    """Count Redis's commands before the first sound, and see whether a Redis that stands still delays it."""
    socket = bench.rig.redis_socket
    counts: list[float] = []

    async def counted() -> float:
        async with commands_until(socket) as seen:
            turn = await ask(orchestrator.channel, replace(Question(), at_end=seen.begin))
            counts.append(seen.count_until(turn.ended_s + turn.first_audio_s))
        return turn.first_audio_s * 1000

    async def stalled() -> float:
        turn = await ask(orchestrator.channel, replace(Question(), at_end=lambda: pause(socket, STALL_MS)))
        await asyncio.sleep(STALL_MS / 1000)
        return turn.first_audio_s * 1000

    plain = first_audio(orchestrator, Question())
    a, b, _ = await in_turn([stalled, plain, counted], bench.count(12))
    waits = [max(0.0, one - other) / other for one, other in zip(a, b, strict=True)]
    is_waited_for = paired(a, b).median > 1.5  # it stood still for many times the wait for the first sound
    trips = spread(counts) if is_waited_for else Spread(0, 0, 0)
    share = spread(waits) if is_waited_for else Spread(0, 0, 0)
    note = (
        f"With Redis standing still for {STALL_MS} ms from the end of the question on, the first sound comes after "
        f"{statistics.median(a):.1f} ms, else after {statistics.median(b):.1f} ms: "
        f"{'it is waited for' if is_waited_for else 'nothing waits for it'}. "
        f"Commands it is sent meanwhile, off the path: {statistics.median(counts):g}."
    )
    values = (f"{statistics.median(a):.1f} ms stalled", f"{statistics.median(b):.1f} ms")
    return [
        Row("15", "Redis: share of the time to first sound", share, Target(0.005), "x1", *values, twins(b), note),
        Row("15", "Redis: round trips before first sound", trips, Target(1), "x1", note=note),
    ]


async def _cost_of(bench: Bench, number: str, name: str, other: Orchestrator, plain: Orchestrator) -> list[Row]:
    """Compare turns, whole ones, with something on and off: time to first sound, and CPU of the orchestrator."""
    used: dict[int, list[float]] = {other.child.pid: [], plain.child.pid: []}

    def measured(orchestrator: Orchestrator) -> Measure:
        async def measure() -> float:
            before_s = orchestrator.child.run_s()
            turn = await ask(orchestrator.channel, Question(is_whole=True))
            used[orchestrator.child.pid].append((orchestrator.child.run_s() - before_s) * 1000)
            return turn.first_audio_s * 1000

        return measure

    a, b = await in_turn([measured(other), measured(plain)], bench.count(28))
    cpu_a, cpu_b = (used[one.child.pid][1:] for one in (other, plain))
    ms: Callable[[list[float]], str] = lambda values: f"{statistics.median(values):.1f} ms"  # noqa: E731
    cpu = paired(cpu_a, cpu_b)
    limits = (Target(1.02), Target(1.02 if number == "24" else 1.05))
    return [
        Row(number, f"{name}: first sound", paired(a, b), limits[0], "x1", ms(a), ms(b), twins(a, b)),
        Row(number, f"{name}: CPU of a turn", cpu, limits[1], "x1", ms(cpu_a), ms(cpu_b), twins(cpu_a, cpu_b)),
    ]
