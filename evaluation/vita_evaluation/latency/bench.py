"""What streaming is worth, as ratios of paired runs on one real stack; the first half of `make bench`.

Absolute times on a shared machine mean little; a ratio of two runs taken in turn, A B A B, means something. The first
row runs the same thing against itself: if that is off by more than a tenth, the machine was too noisy and the run void.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import soundfile
from PIL import Image
from vita_components.connect import connect
from vita_runtime.errors import StartupError
from vita_runtime.launcher.stack import Options, default_checkpoint, running

from vita_evaluation.latency.sequential import ask_sequentially
from vita_evaluation.latency.turns import Query, TimedAnswer, ask

COMPONENTS = ("vision_encoder", "speech_encoder", "llm", "speech_decoder", "codec_decoder")
A_A_LIMIT = 0.1  # a run whose twin differs by more than this is void
LONG_QUESTION_S = 20
SHORT_QUESTION_S = 2

Run = Callable[[], Awaitable[TimedAnswer]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two ways of doing a thing, and the most that A may take of B."""

    name: str
    a: Run
    b: Run
    target: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """What a comparison gave: first audio of A over first audio of B."""

    name: str
    ratio: float
    low: float
    high: float
    a_ms: float
    b_ms: float
    target: float | None

    @property
    def is_met(self) -> bool:
        """Whether the ratio is within its target."""
        return self.target is None or self.ratio <= self.target


async def compare(comparison: Comparison, pair_count: int) -> Row:
    """Run A and B in turn and return the median of the paired ratios.

    Raises:
        StartupError: an answer had no sound, so there is nothing to compare.
    """
    pairs: list[tuple[float, float]] = []
    for index in range(pair_count + 1):
        a, b = await comparison.a(), await comparison.b()
        for answer in (a, b):
            if not answer.sound:
                raise StartupError(f"{comparison.name}: an answer came without sound ({answer.failure or 'no reason'})")
        if index:  # the first pair warms caches and connections
            pairs.append((a.first_audio_ms, b.first_audio_ms))
    ratios = sorted(a / b for a, b in pairs)
    a_ms, b_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row(comparison.name, statistics.median(ratios), ratios[0], ratios[-1], a_ms, b_ms, comparison.target)


def tall_picture(picture: bytes, width_px: int, height_px: int) -> bytes:
    """Return the picture at another size: 640 × 480 makes 13 tiles."""
    with Image.open(io.BytesIO(picture)) as image:
        resized = image.convert("RGB").resize((width_px, height_px))
    out = io.BytesIO()
    resized.save(out, "PNG")
    return out.getvalue()


def lasting(samples: bytes, seconds: float) -> bytes:
    """Return the sound said again and again until it lasts `seconds`, ending where the sound ends."""
    size = int(seconds * 16_000) * 2
    repeated = samples * (size // len(samples) + 1)
    return repeated[len(repeated) - size :]


def comparisons(orchestrator: grpc.aio.Channel, sequential: Callable[[Query], Run], examples: Path) -> list[Comparison]:
    """Return what is compared."""
    picture = (examples / "shapes.png").read_bytes()
    describe, question = _samples(examples / "describe.wav"), _samples(examples / "what-color.wav")

    def streamed(query: Query) -> Run:
        return lambda: ask(orchestrator, query)

    long_answer = Query(describe, picture, max_tile_count=1)
    short, long = (Query(lasting(question, s), picture, 1) for s in (SHORT_QUESTION_S, LONG_QUESTION_S))
    tiles = Query(question, tall_picture(picture, 640, 480), max_tile_count=12)
    return [
        Comparison("the same twice (A/A)", streamed(short), streamed(short), None),
        Comparison(
            "long answer: streamed / one stage after another", streamed(long_answer), sequential(long_answer), 0.3
        ),
        Comparison("question of 20 s / of 2 s", streamed(long), streamed(short), 1.2),
        Comparison("13-tile picture / none", streamed(tiles), streamed(Query(question)), 1.2),
    ]


def _samples(path: Path) -> bytes:
    sound, rate = soundfile.read(path, dtype="int16")
    if rate != 16_000 or sound.ndim != 1:
        raise StartupError(f"{path}: expected 16 kHz mono")
    return sound.tobytes()


def stack_parts(stack_file: Path) -> dict[str, dict[str, str]]:
    """Return the addresses of a running stack's parts.

    Raises:
        StartupError: no stack runs.
    """
    if not stack_file.is_file():
        raise StartupError(f"no stack runs: {stack_file} is missing; start one with `make up`")
    return json.loads(stack_file.read_text())["parts"]


@asynccontextmanager
async def own_stack() -> AsyncIterator[dict[str, dict[str, str]]]:
    """Run a stack inside the block; give the addresses of its parts."""
    with tempfile.TemporaryDirectory(prefix="vita-bench-") as folder:
        state_dir = Path(folder)
        async with running(Options(state_dir=state_dir, checkpoint=default_checkpoint())) as stack:
            await stack.start()
            yield stack_parts(state_dir / "stack.json")


async def run_on_own_stack(examples: Path, pair_count: int) -> list[Row]:
    """Compare on a stack that lives as long."""
    async with own_stack() as parts:
        return await run(parts, examples, pair_count)


async def run(parts: dict[str, dict[str, str]], examples: Path, pair_count: int) -> list[Row]:
    """Compare on the stack with these parts."""
    rows: list[Row] = []
    async with (
        grpc.aio.insecure_channel(parts["orchestrator"]["grpc"]) as orchestrator,
        connect({name: [parts[name]["grpc"]] for name in COMPONENTS}) as components,
    ):
        await components.wait_ready(10.0)
        count = iter(range(1_000_000))

        def sequential(query: Query) -> Run:
            return lambda: ask_sequentially(components, query, f"bench-{next(count)}")

        for comparison in comparisons(orchestrator, sequential, examples):
            rows.append(await compare(comparison, pair_count))
            print(render(rows[-1]), flush=True)
    return rows


def render(row: Row) -> str:
    """Return a row for people."""
    target = "" if row.target is None else f"  target ≤ {row.target:g}: {'met' if row.is_met else 'MISSED'}"
    spread = f"{row.low:.2f} … {row.high:.2f}"
    return f"{row.name:<50} {row.ratio:5.2f}  ({spread})  {row.a_ms:6.0f} ms / {row.b_ms:6.0f} ms{target}"


def main() -> int:
    """Print the table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, default=Path(".vita/stack.json"))
    parser.add_argument("--own-stack", action="store_true", help="start a stack for it")
    parser.add_argument("--examples", type=Path, default=Path("examples"))
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    try:
        if arguments.own_stack:
            rows = asyncio.run(run_on_own_stack(arguments.examples, arguments.pairs))
        else:
            rows = asyncio.run(run(stack_parts(arguments.stack), arguments.examples, arguments.pairs))
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if abs(rows[0].ratio - 1) > A_A_LIMIT:
        print(f"void: the same thing against itself gave {rows[0].ratio:.2f}; the machine is too noisy")
    print(json.dumps({row.name: round(row.ratio, 3) for row in rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
