"""Record the golden turns anew: `python scripts/golden.py [--only NAME]` runs a stack, holds each conversation, and
keeps the last turn's recording, packed small, as tests/golden/NAME.vita.zip.

What a golden turn is for stands beside it here; tests/golden/test_golden.py replays them all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import vita_components.triton  # noqa: F401  # pyright: ignore[reportUnusedImport]  # makes KServe's messages known, for the file's schema
from vita.recording.v1.recording_pb2 import EDGE_CLIENT
from vita_cli.answers import Answer
from vita_cli.house import TOOLS, House
from vita_cli.realtime_client import RealtimeClient, connected, microphone
from vita_cli.sounds import read_sound, trailing_silence_s
from vita_recordings.bundle import SUFFIX, Bundle, read, write
from vita_runtime.launcher.installation import home
from vita_runtime.launcher.stack import Options, Stack, default_checkpoint, running

EXAMPLES = home() / "examples"
SHELF = home() / "tests" / "golden"
PICTURE = (EXAMPLES / "shapes.png").read_bytes()
SHORT_TOKENS = 12  # of an answer whose length does not matter
WRITTEN_S = 10.0  # from a turn's end to its file
ANSWER_S = 60.0
UNFINISHED_PAUSE_S = 0.8  # longer than the silence behind a finished sentence, shorter than behind an unfinished one


@dataclass(frozen=True, slots=True)
class Scene:
    """A conversation with a stack, and the client that holds it."""

    client: RealtimeClient
    stack: Stack

    async def answer(self, since: int, *, is_done: bool = True) -> Answer:
        """Wait for the next answer's end, or for its first sound."""
        return await self.client.wait_for_answer(
            lambda one: one.is_done if is_done else one.audio_ms > 0, since=since, timeout_s=ANSWER_S
        )

    async def heard(self, answer: Answer) -> None:
        """Wait until an answer has been listened to, and a little longer."""
        begun_s = answer.first_audio_s or self.client.now()
        await asyncio.sleep(max(0.0, begun_s + answer.audio_ms / 1000 - self.client.now()) + 0.5)


Play = Callable[[Scene], Awaitable[None]]


def sound(name: str) -> bytes:
    """Return an example's sound without the silence at its end, for the microphone adds its own."""
    whole = read_sound(EXAMPLES / f"{name}.wav")
    return whole[: len(whole) - int(trailing_silence_s(whole) * 24_000) * 2]


async def plain(scene: Scene) -> None:
    """A question in writing, and a short answer aloud."""
    await scene.client.send_text("How are you?")
    await scene.client.send("response.create")
    await scene.answer(0)


async def picture(scene: Scene) -> None:
    """A picture, and a question about it aloud."""
    await scene.client.send_image(PICTURE)
    async with microphone(scene.client) as mouth:
        await mouth.say(sound("what-color"))
        await scene.answer(0)


async def follow_up(scene: Scene) -> None:
    """A second question that means nothing without the first and its picture."""
    await scene.client.send_image(PICTURE)
    async with microphone(scene.client) as mouth:
        await mouth.say(sound("what-color"))
        await scene.heard(await scene.answer(0))
        await mouth.say(sound("where-is-it"))
        await scene.answer(1)


async def barge_in(scene: Scene) -> None:
    """A voice over an answer: it is cut to the words that were heard, and the voice is answered."""
    await scene.client.send_image(PICTURE)
    async with microphone(scene.client) as mouth:
        await mouth.say(sound("describe"))
        await scene.answer(0, is_done=False)
        await asyncio.sleep(1.5)
        await mouth.say(sound("interrupt"))
        await scene.answer(1)


async def cough(scene: Scene) -> None:
    """A cough over an answer: it is held, and goes on."""
    await scene.client.send_image(PICTURE)
    async with microphone(scene.client) as mouth:
        await mouth.say(sound("describe"))
        await scene.answer(0, is_done=False)
        await asyncio.sleep(0.8)
        await mouth.say(sound("cough"))
        await scene.answer(0)


async def replica_lost(scene: Scene) -> None:
    """The language model's only replica is killed after a turn; its successor reads the record and answers the next."""
    await scene.client.send_image(PICTURE)
    async with microphone(scene.client) as mouth:
        await mouth.say(sound("what-color"))
        await scene.heard(await scene.answer(0))
        pid = next(one.pid for one in scene.stack.supervisors if one.part.name == "llm")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(1.0)  # until its loss is known: then a turn waits 10 s for it, and not 3
        await mouth.say(sound("where-is-it"))
        await scene.answer(1)


async def long_answer(scene: Scene) -> None:
    """An answer of several clauses, whose sound is sent only so far ahead of the listener."""
    await scene.client.send_image(PICTURE)
    await scene.client.send_text("Please describe the picture.")
    await scene.client.send("response.create")
    await scene.answer(0)


async def tool(scene: Scene) -> None:
    """A tool is called, does what is asked, and the answer is made of what it said."""
    await scene.client.configure(tools=list(TOOLS))
    async with microphone(scene.client) as mouth:
        await mouth.say(sound("light"))
        asked = await scene.answer(0)
        for call in asked.calls:
            await scene.client.send_tool_output(call, House().use(call))
        await scene.client.send("response.create")
        await scene.answer(1)


async def unfinished(scene: Scene) -> None:
    """A pause in a sentence, as long as ends a turn: the head on the speech encoder hears that more will come."""
    await scene.client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    whole = sound("count")
    middle = len(whole) // 4 * 2  # "Please count …"
    async with microphone(scene.client) as mouth:
        await mouth.say(whole[:middle] + bytes(round(UNFINISHED_PAUSE_S * 24_000) * 2) + whole[middle:])
        await scene.answer(0)


# Name: what happens, and how long the answers may be, in tokens.
SCENES: dict[str, tuple[Play, int]] = {
    "plain": (plain, SHORT_TOKENS),
    "picture": (picture, SHORT_TOKENS),
    "follow-up": (follow_up, SHORT_TOKENS),
    "barge-in": (barge_in, 24),
    "cough": (cough, 24),
    "replica-lost": (replica_lost, 24),
    "long-answer": (long_answer, 128),
    "tool": (tool, 64),
    "unfinished": (unfinished, SHORT_TOKENS),
}


async def record(names: Collection[str], checkpoint: Path) -> None:
    """Hold the conversations and put their recordings on the shelf."""
    with tempfile.TemporaryDirectory(prefix="vita-golden-") as scratch:
        folder = Path(scratch) / "recordings"
        os.environ["VITA_ORCHESTRATOR_RECORDING_DIR"] = str(folder)
        os.environ["VITA_ORCHESTRATOR_RECORDED_SHARE"] = "1"
        async with running(Options(state_dir=Path(scratch) / "stack", checkpoint=checkpoint)) as stack:
            await stack.start()
            for name in names:
                bundle = await _held(name, stack, folder)
                size = _shelve(name, bundle)
                turns = [turn.outcome for turn in bundle.manifest.turns]
                print(f"{name}: {len(bundle.records)} records, turns {turns}, {size / 1024:.0f} KiB", flush=True)


async def _held(name: str, stack: Stack, folder: Path) -> Bundle:
    """Hold a conversation; return its last turn's recording."""
    play, most_tokens = SCENES[name]
    assert stack.url
    async with connected(stack.url) as client:
        await client.configure(seed=7, max_output_tokens=most_tokens)
        before = _files(folder)
        await play(Scene(client, stack))
        last = max(client.answers, key=lambda answer: answer.created_s).response_id
        give_up_s = asyncio.get_running_loop().time() + WRITTEN_S
        while asyncio.get_running_loop().time() < give_up_s:
            for path in _files(folder) - before:
                bundle = read(path)
                if bundle.manifest.turns[-1].response_id == last:
                    return bundle
            await asyncio.sleep(0.1)
    raise SystemExit(f"{name}: its recording was not written")


def _files(folder: Path) -> set[Path]:
    return set(folder.glob(f"*{SUFFIX}"))


def _shelve(name: str, bundle: Bundle) -> int:
    """Put a recording on the shelf, packed small and without the client's own edge, which no replay looks at."""
    kept = tuple(record for record in bundle.records if record.edge != EDGE_CLIENT)
    with tempfile.TemporaryDirectory() as scratch:
        packed = write(Bundle(bundle.manifest, bundle.snapshot, kept), Path(scratch), level=9)
        target = SHELF / f"{name}{SUFFIX}"
        target.write_bytes(packed.read_bytes())
    return target.stat().st_size


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(SCENES), default=list(SCENES))
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    given = parser.parse_args()
    SHELF.mkdir(parents=True, exist_ok=True)
    asyncio.run(record(given.only, given.checkpoint))


if __name__ == "__main__":
    main()
