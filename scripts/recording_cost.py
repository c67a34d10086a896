"""What recording costs: the same turn with and without, in turn, on the stack that runs here.

    VITA_ORCHESTRATOR_RECORDING_DIR=.vita/recordings .venv/bin/vita up
    .venv/bin/python scripts/recording_cost.py --pairs 25

Each turn is asked at the pace of speech in a session of its own. CPU time is that of orchestrator and gateway, all
threads, until 0.6 s after the answer, when its recording has been written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from pathlib import Path

from vita_cli.realtime_client import connected
from vita_cli.sounds import read_sound
from vita_cli.talk import STACK_FILE, Question, ask

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WRITTEN_S = 0.6
WARM_PAIRS = 2


def cpu_ms(process_ids: list[int]) -> float:
    """Return the CPU time of these processes."""
    files = (file for one in process_ids for file in Path(f"/proc/{one}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files) / 1e6


async def turn(url: str, process_ids: list[int], question: Question, recording: str) -> tuple[float, float]:
    """Ask once; return the time to the first sound and the CPU time, in ms."""
    before = cpu_ms(process_ids)
    async with connected(url, recording=recording) as client:
        exchange = await ask(client, question)
    await asyncio.sleep(WRITTEN_S)
    heard_s = exchange.answer.first_audio_s
    assert heard_s is not None, "the answer had no sound"
    return (heard_s - exchange.asked_s) * 1000, cpu_ms(process_ids) - before


async def compare(url: str, process_ids: list[int], pair_count: int, form: str, *, is_fast: bool) -> None:
    """Ask in pairs and print the ratios of with to without."""
    sound = read_sound(EXAMPLES / "what-color.wav")
    question = Question(sound, (EXAMPLES / "shapes.png").read_bytes(), "", is_fast)
    pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for index in range(pair_count + WARM_PAIRS):
        asked = [(form, await turn(url, process_ids, question, form))] if index % 2 else []
        asked.append(("", await turn(url, process_ids, question, "")))
        if not index % 2:
            asked.append((form, await turn(url, process_ids, question, form)))
        by_form = dict(asked)
        pairs.append((by_form[""], by_form[form]))
    for column, name in enumerate(("first audio", "CPU")):
        off, on = ([pair[side][column] for pair in pairs[WARM_PAIRS:]] for side in (0, 1))
        ratio = statistics.median(b / a for a, b in zip(off, on, strict=True))
        medians = f"{statistics.median(off):.0f} ms without, {statistics.median(on):.0f} ms with"
        print(f"{name}: {ratio:.3f} (median of {pair_count} pairs), {sum(on) / sum(off):.3f} (all); {medians}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--form", choices=("full", "redacted"), default="full")
    parser.add_argument("--fast", action="store_true", help="send each question at once")
    parser.add_argument("--stack", type=Path, default=STACK_FILE)
    options = parser.parse_args()
    stack = json.loads(options.stack.read_text())
    process_ids = [stack["parts"][name]["pid"] for name in ("orchestrator", "gateway")]
    asyncio.run(compare(stack["ready"], process_ids, options.pairs, options.form, is_fast=options.fast))


if __name__ == "__main__":
    main()
