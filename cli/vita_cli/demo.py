"""`vita demo`: starts a stack, holds one spoken conversation about a picture with it, and shows how each answer came.

What is said stands in LINES; it is held through the public Realtime API. Beside each answer, the whole conversation is
written as one sound: the user on the left, the answers on the right.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from vita_runtime import logging
from vita_runtime.launcher.installation import home
from vita_runtime.launcher.stack import Options, default_checkpoint, running

from vita_cli.answers import BYTES_PER_MS
from vita_cli.house import TOOLS, House
from vita_cli.realtime_client import RealtimeError, connected, microphone
from vita_cli.script import Actor, Line, Turn
from vita_cli.sounds import Heard, read_sound, write_conversation, write_sound
from vita_cli.waterfall import Stages, waterfall

EXAMPLES = home() / "examples"
PICTURE = "shapes.png"
LINES = (
    Line("what-color", "What color is the star?"),
    Line("where-is-it", "Where is it?"),
    Line("describe", "Please describe the picture.", is_coughed_at=True),
    Line("count", "Please count to twenty."),
    Line("interrupt", "Stop. How many shapes are there?", is_interrupting=True),
    Line("light", "Turn on the light in the kitchen."),
    Line("thank-you", "Thank you."),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("--out", type=Path, default=home() / "demo-out", help="folder for the spoken answers")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint(), help="folder with the weights")
    parser.add_argument("--url", help="a running gateway, instead of a stack of the demo's own")


def run(args: argparse.Namespace) -> int:
    """Hold the conversation; return the exit status."""
    logging.configure("demo")
    try:
        facts = asyncio.run(_demo(args.url, args.checkpoint, args.out))
    except RealtimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"turns": facts}, ensure_ascii=False))
    return 0


async def _demo(url: str | None, checkpoint: Path, out: Path) -> list[dict[str, object]]:
    sounds = {name: read_sound(EXAMPLES / f"{name}.wav") for name in ("cough", *(line.name for line in LINES))}
    turns: list[Turn] = []
    async with _server(url, checkpoint) as server, connected(server) as client, microphone(client) as mouth:
        print(f"\nA conversation about {EXAMPLES.name}/{PICTURE}, aloud; the assistant may use two tools:\n")
        await client.configure(tools=list(TOOLS))
        await client.send_image((EXAMPLES / PICTURE).read_bytes())
        async for turn in Actor(client, mouth, sounds, House()).perform(LINES):
            turns.append(turn)
            write_sound(_wav(turn, out), turn.heard)
            print(_shown(turn, out), flush=True)
    _check(turns)
    write_conversation(out / "conversation.wav", *_both_sides(turns, sounds))
    print(f"all of it: {out / 'conversation.wav'} (left: the user, right: the answers)\n")
    return [_facts(turn, out) for turn in turns]


@asynccontextmanager
async def _server(url: str | None, checkpoint: Path) -> AsyncIterator[str]:
    """Give the address of a gateway: the one at `url`, or that of a stack which ends with the block."""
    if url is not None:
        yield url
        return
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vita-demo-") as folder:
        async with running(Options(state_dir=Path(folder), checkpoint=checkpoint)) as stack:
            print("starting Redis, five Triton servers, the orchestrator and the gateway …", flush=True)
            await stack.start()
            assert stack.url  # no part was left out
            print(f"all healthy after {time.monotonic() - started_s:.1f} s", flush=True)
            yield stack.url


def _wav(turn: Turn, out: Path) -> Path:
    return out / f"{turn.line.name}.wav"


def _shown(turn: Turn, out: Path) -> str:
    """What a person reads of a turn."""
    answer = turn.answer
    stages = Stages(*map(turn.since_asked_ms, (answer.first_text_s, answer.first_audio_s, answer.last_audio_s)))
    lines = [f" ? {turn.line.words}"]
    lines += [f" → {call.name} {call.arguments} → {result}" for call, result in turn.calls]
    lines += [f" ! {answer.text}{' – interrupted' if turn.cut_s else ''}"]
    lines += ["   (somebody coughed, and it went on)"] if turn.cough_s else []
    return "\n".join([*lines, f"{waterfall(stages)}   {_wav(turn, out)}\n"])


def _facts(turn: Turn, out: Path) -> dict[str, object]:
    """What the last line of the demo says of a turn."""
    return {
        "question": turn.line.words,
        "calls": [f"{call.name} {call.arguments}" for call, _ in turn.calls],
        "answer": turn.answer.text,
        "wav": str(_wav(turn, out)),
        "first_audio_ms": turn.since_asked_ms(turn.answer.first_audio_s),
        "audio_ms": len(turn.heard) // BYTES_PER_MS,
        "is_coughed_at": turn.cough_s is not None,
        "is_interrupted": turn.cut_s is not None,
    }


def _both_sides(turns: Sequence[Turn], sounds: dict[str, bytes]) -> tuple[list[Heard], list[Heard]]:
    """What the user said, coughs included, and what was answered, each with its time."""
    asked = [Heard(turn.began_s, sounds[turn.line.name]) for turn in turns]
    coughs = [Heard(turn.cough_s, sounds["cough"]) for turn in turns if turn.cough_s is not None]
    answers = [Heard(turn.answer.first_audio_s or 0.0, turn.heard) for turn in turns]
    return asked + coughs, answers


def _check(turns: Sequence[Turn]) -> None:
    """Raise RealtimeError if an answer is missing, or the interruption did not interrupt."""
    for turn in turns:
        if not turn.heard:
            problem = turn.answer.problem or turn.answer.reason or "no sound"
            raise RealtimeError(f"no answer to {turn.line.words!r}: {problem}")
    if not any(turn.cut_s for turn in turns):
        raise RealtimeError("the interruption did not interrupt")
