"""`vita talk`: ask one question aloud, about a picture if there is one, and hear the answer."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from vita_runtime.launcher.installation import home

from vita_cli.answers import Answer
from vita_cli.realtime_client import RealtimeClient, RealtimeError, connected, microphone
from vita_cli.sounds import read_sound, trailing_silence_s, write_sound

STACK_FILE = home() / ".vita" / "stack.json"
PATIENCE_S = 30.0  # without a word or a sound: whatever was coming will not come
HEARING_S = 10.0  # after the question: an answer that has not begun by then was never asked for


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, ready to be sent."""

    sound: bytes  # 24 kHz, 16 bits; may be empty
    picture: bytes
    text: str
    is_fast: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question's answer, and when the question was over."""

    answer: Answer
    asked_s: float

    def since_asked_ms(self, at_s: float | None) -> int | None:
        """Return a moment as ms after the end of the question."""
        return None if at_s is None else round((at_s - self.asked_s) * 1000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("--audio", type=Path, help="the question, a sound file")
    parser.add_argument("--image", type=Path, help="a PNG or JPEG that the question is about")
    parser.add_argument("--text", default="", help="words that go with the question, or are it")
    parser.add_argument("--out", type=Path, help="where the answer's sound goes, a WAV")
    parser.add_argument("--url", help="the gateway; default: the stack that runs here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--record",
        choices=("full", "redacted"),
        help="have the turn recorded, if the server is set up for it (`vita up --record`, docs/recordings.md)",
    )
    parser.add_argument("--fast", action="store_true", help="send the question at once, not at the pace of speech")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit status. VITA_API_KEY holds the key, where one is needed."""
    try:
        question = _question(args)
        url = cast("str | None", args.url) or _running_stack()
        exchange = asyncio.run(_exchange(url, question, cast("str | None", args.record) or ""))
        answer = exchange.answer
        if args.out is not None:
            write_sound(args.out, bytes(answer.sound))
        _check(answer)
    except RealtimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    facts = _facts(args, exchange)
    print(json.dumps(facts, ensure_ascii=False) if args.json else _lines(facts))
    return 0


async def ask(client: RealtimeClient, question: Question) -> Exchange:
    """Ask in an open session and wait for the answer's end.

    Raises:
        RealtimeError: nothing was heard, or the conversation failed.
    """
    if question.picture:
        await client.send_image(question.picture)
    if question.text:
        await client.send_text(question.text)
    if question.sound and not question.is_fast:
        return await _ask_aloud(client, question.sound)
    audio = {"input": {"turn_detection": None}}
    await client.configure(audio=audio)
    if question.sound:
        await client.send_audio(question.sound)
        await client.send("input_audio_buffer.commit")
    await client.send("response.create")
    asked_s = client.now()
    answer = await client.wait_for_answer(lambda one: one.is_done, timeout_s=PATIENCE_S)
    return Exchange(answer, asked_s)


async def _ask_aloud(client: RealtimeClient, sound: bytes) -> Exchange:
    """Speak at the pace of speech, and stay silent until the answer is over."""
    async with microphone(client) as mouth:
        asked_s = await mouth.say(sound) - trailing_silence_s(sound)

        def is_final(answer: Answer) -> bool:
            # A pause in the question may have ended a turn too early: the speech after it has cut that answer.
            return answer.reason != "turn_detected"

        begun = await client.wait_for_answer(is_final, timeout_s=HEARING_S)
        answer = await client.wait_for_answer(
            lambda one: one.is_done and is_final(one), since=client.answers.index(begun), timeout_s=PATIENCE_S
        )
    return Exchange(answer, asked_s)


async def _exchange(url: str, question: Question, recording: str) -> Exchange:
    async with connected(url, api_key=os.environ.get("VITA_API_KEY", ""), recording=recording) as client:
        return await ask(client, question)


def _question(args: argparse.Namespace) -> Question:
    if args.audio is None and not args.text:
        raise RealtimeError("there is nothing to ask: give --audio or --text")
    picture = b""
    if args.image is not None:
        try:
            picture = cast("Path", args.image).read_bytes()
        except OSError as error:
            raise RealtimeError(f"{args.image} cannot be read") from error
    sound = read_sound(args.audio) if args.audio is not None else b""
    return Question(sound, picture, args.text, args.fast)


def _running_stack() -> str:
    """Return the address of the stack that runs here."""
    try:
        stack = cast("dict[str, object]", json.loads(STACK_FILE.read_text()))
        ready = stack.get("ready")
    except (OSError, ValueError) as error:
        raise RealtimeError("no stack is running here: start one with `vita up`, or give --url") from error
    if not isinstance(ready, str):
        raise RealtimeError("the stack is not ready yet")
    return ready


def _check(answer: Answer) -> None:
    if answer.status == "failed":
        raise RealtimeError(f"the answer failed: {answer.problem or 'no reason was given'}")
    if answer.measured.get("outcome") == "ignored":
        raise RealtimeError("the model took the question for noise and did not answer")


def _facts(args: argparse.Namespace, exchange: Exchange) -> dict[str, object]:
    answer = exchange.answer
    return {
        "question": str(args.audio or args.text),
        "answer": answer.text,
        "wav": str(args.out) if args.out is not None else None,
        "first_text_ms": exchange.since_asked_ms(answer.first_text_s),
        "first_audio_ms": exchange.since_asked_ms(answer.first_audio_s),
        "last_audio_ms": exchange.since_asked_ms(answer.last_audio_s),
        "audio_ms": answer.audio_ms,
        "status": answer.status,
        "server": answer.measured,
    }


def _lines(facts: dict[str, object]) -> str:
    names = ("first_text_ms", "first_audio_ms", "last_audio_ms", "audio_ms")
    times = ", ".join(f"{name.removesuffix('_ms').replace('_', ' ')} {facts[name]} ms" for name in names)
    written = f"\nwritten to {facts['wav']}" if facts["wav"] else ""
    return f"{facts['answer']}\n{times} (after the end of the question; audio: its length){written}"


def main() -> int:
    """Run the verb by itself."""
    parser = argparse.ArgumentParser(prog="vita talk", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
