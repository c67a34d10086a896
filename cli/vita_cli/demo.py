"""`vita demo`: starts a stack, holds one spoken conversation about a picture with it, and shows how each answer came.

Everything goes through the public Realtime API with a microphone that is always on: the server decides when a question
is over, that a cough is no question, and that a voice over an answer is one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from vita_runtime import logging
from vita_runtime.launcher.installation import home
from vita_runtime.launcher.stack import Options, default_checkpoint, running

from vita_cli.realtime_client import (
    BYTES_PER_MS,
    Answer,
    Microphone,
    RealtimeClient,
    RealtimeError,
    connected,
    microphone,
)
from vita_cli.sounds import read_sound, trailing_silence_s, write_sound
from vita_cli.waterfall import Stages, waterfall

EXAMPLES = home() / "examples"
PICTURE = "shapes.png"
COUGH_AFTER_S = 1.0  # into the long answer
INTERRUPT_AFTER_S = 4.5  # into the long answer: it lasts eight seconds and more
PAUSE_S = 0.4  # between an answer's end and the next question, as people leave it
BEGIN_S = 8.0  # an answer that has not begun by then never will
END_S = 60.0  # the longest answer


@dataclass(frozen=True, slots=True)
class Line:
    """What the user says next."""

    name: str  # of the sound file, and of the answer's
    words: str
    is_interrupting: bool = False


LINES = (
    Line("what-color", "What color is the star?"),
    Line("where-is-it", "Where is it?"),
    Line("describe", "Please describe the picture."),
    Line("interrupt", "Stop. How many shapes are there?", is_interrupting=True),
)


@dataclass(slots=True)
class Turn:
    """A question and what was heard in answer."""

    line: Line
    answer: Answer
    asked_s: float  # when its last word had been said
    heard: bytes = b""
    cut_s: float | None = None  # when the answer was interrupted
    wav: Path = Path()

    def since_asked_ms(self, at_s: float | None) -> int | None:
        """Return a moment as ms after the end of the question."""
        return None if at_s is None else round((at_s - self.asked_s) * 1000)

    def facts(self) -> dict[str, object]:
        """Return what the last line of the demo says of it."""
        return {
            "question": self.line.words,
            "answer": self.answer.text,
            "wav": str(self.wav),
            "first_audio_ms": self.since_asked_ms(self.answer.first_audio_s),
            "audio_ms": len(self.heard) // BYTES_PER_MS,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("--out", type=Path, default=home() / "demo-out", help="folder for the spoken answers")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint(), help="folder with the weights")
    parser.add_argument("--url", help="a running gateway, instead of a stack of the demo's own")


def run(args: argparse.Namespace) -> int:
    """Hold the conversation; return the exit status."""
    logging.configure("demo")
    try:
        turns = asyncio.run(_demo(args.url, args.checkpoint, args.out))
    except RealtimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"turns": [turn.facts() for turn in turns]}, ensure_ascii=False))
    return 0


async def _demo(url: str | None, checkpoint: Path, out: Path) -> list[Turn]:
    async with _server(url, checkpoint) as server:
        print(f"\nA conversation about {EXAMPLES.name}/{PICTURE}, aloud:\n")
        turns = [turn async for turn in _conversation(server, out)]
    _check(turns)
    return turns


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


async def _conversation(server: str, out: Path) -> AsyncIterator[Turn]:
    """Yield the turns as they end."""
    sounds = {name: read_sound(EXAMPLES / f"{name}.wav") for name in ("cough", *(line.name for line in LINES))}
    async with connected(server) as client, microphone(client) as mouth:
        await client.send_image((EXAMPLES / PICTURE).read_bytes())
        speaking: Turn | None = None  # the turn that the next line interrupts
        for line, following in zip(LINES, (*LINES[1:], None), strict=True):
            turn = await _ask(client, mouth, line, sounds[line.name])
            if speaking is not None:
                yield _heard(speaking, out)
            if following is not None and following.is_interrupting:
                await _cough_over(turn, client, mouth, sounds["cough"])
                speaking = turn
                continue
            await _listen(turn, client)
            speaking = None
            yield _heard(turn, out)


async def _ask(client: RealtimeClient, mouth: Microphone, line: Line, sound: bytes) -> Turn:
    """Say a line and wait until its answer can be heard."""
    count = len(client.answers)
    asked_s = await mouth.say(sound) - trailing_silence_s(sound)
    # A pause within the question may end a turn too early; the speech that follows then cuts that answer.
    answer = await client.wait_for_answer(
        lambda one: one.created_s > asked_s and (one.first_audio_s is not None or one.is_done),
        since=count,
        timeout_s=BEGIN_S,
    )
    return Turn(line, answer, asked_s)


async def _cough_over(turn: Turn, client: RealtimeClient, mouth: Microphone, cough: bytes) -> None:
    """Listen to the start of an answer and cough in it; it must go on."""
    begun_s = turn.answer.first_audio_s or client.now()
    await asyncio.sleep(max(0.0, begun_s + COUGH_AFTER_S - client.now()))
    await mouth.say(cough)
    if turn.answer.is_done and turn.answer.status != "completed":
        raise RealtimeError("a cough stopped the answer")
    await asyncio.sleep(max(0.0, begun_s + INTERRUPT_AFTER_S - client.now()))
    print("   (somebody coughs: the answer goes on)")


async def _listen(turn: Turn, client: RealtimeClient) -> None:
    """Wait until the answer has been sent, and then until it has been heard."""
    index = client.answers.index(turn.answer)
    answer = await client.wait_for_answer(lambda one: one.is_done, since=index, timeout_s=END_S)
    begun_s = answer.first_audio_s or client.now()
    await asyncio.sleep(max(0.0, begun_s + answer.audio_ms / 1000 - client.now()) + PAUSE_S)


def _heard(turn: Turn, out: Path) -> Turn:
    """Write what was heard of the answer, and show the turn."""
    answer, sound = turn.answer, bytes(turn.answer.sound)
    if answer.reason == "turn_detected" and answer.done_s is not None and answer.first_audio_s is not None:
        turn.cut_s = answer.done_s
        sound = sound[: round((turn.cut_s - answer.first_audio_s) * 1000) * BYTES_PER_MS]
    turn.heard, turn.wav = sound, out / f"{turn.line.name}.wav"
    write_sound(turn.wav, sound)
    print(f" ? {turn.line.words}")
    print(f" ! {answer.text}{' – interrupted' if turn.cut_s else ''}")
    stages = Stages(
        turn.since_asked_ms(answer.first_text_s),
        turn.since_asked_ms(answer.first_audio_s),
        turn.since_asked_ms(answer.last_audio_s),
    )
    print(f"{waterfall(stages)}   {turn.wav}\n", flush=True)
    return turn


def _check(turns: list[Turn]) -> None:
    """Raise RealtimeError if an answer is missing, or the interruption did not interrupt."""
    for turn in turns:
        if not turn.heard:
            problem = turn.answer.problem or turn.answer.reason or "no sound"
            raise RealtimeError(f"no answer to {turn.line.words!r}: {problem}")
    if not any(turn.cut_s for turn in turns):
        raise RealtimeError("the last question did not interrupt the answer before it")
