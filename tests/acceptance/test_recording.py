"""A spoken turn about a picture, recorded on the real stack and read back; and a disk that takes nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vita_components.triton  # noqa: F401  # whose messages are read here
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1 import recording_pb2 as pb
from vita_cli.realtime_client import connected
from vita_cli.sounds import read_sound
from vita_recordings.bundle import Bundle, read
from vita_recordings.schema import parse

from tests.acceptance.conversing import BY_HAND, EXAMPLES, PICTURE, ask_aloud, metric
from tests.stack import COMPONENTS, RunningStack, wait_until

pytestmark = pytest.mark.triton

WRITTEN_S = 10.0
LONG_WORD = 4  # shorter ones are parts of field names
DISK_BYTES = 16 * 1024  # less than any recording of sound


async def ask_recorded(stack: RunningStack, form: str) -> tuple[str, str, bytes]:
    """Ask the shipped question about the shipped picture; return the session, the answer's words and its sound."""
    async with connected(stack.url, recording=form) as client:
        await client.configure(audio=BY_HAND, seed=7, max_output_tokens=40)
        answer = await ask_aloud(client, read_sound(EXAMPLES / "what-color.wav"), PICTURE)
        assert answer.status == "completed"
        return client.session_id, answer.text, bytes(answer.sound)


def recording_of(stack: RunningStack, session_id: str) -> Bundle:
    """Wait for a session's one recording."""
    found: list[Bundle] = []

    def is_there() -> bool:
        every = [read(path) for path in (stack.state_dir / "recordings").glob("*.vita.zip")]
        found[:] = [bundle for bundle in every if bundle.manifest.session_id == session_id]
        return bool(found)

    wait_until(is_there, WRITTEN_S, "the recording")
    (bundle,) = found
    return bundle


def passed(bundle: Bundle, component: str, kind: pb.Kind) -> list[Any]:
    """What passed one component in one direction."""
    records = [record for record in bundle.records if record.component == component and record.kind == kind]
    return [parse(record.type, record.content) for record in records]


def tensors(reply: Any, name: str) -> bytes:
    """A reply's tensor; empty: it has none of this name."""
    names = [tensor.name for tensor in reply.outputs]
    return reply.raw_output_contents[names.index(name)] if name in names else b""


async def test_a_spoken_turn_about_a_picture_is_recorded_on_every_edge(stack: RunningStack) -> None:
    session_id, text, sound = await ask_recorded(stack, "full")
    bundle = await asyncio.to_thread(recording_of, stack, session_id)
    calls = Counter(record.component for record in bundle.records if record.kind == pb.KIND_OPENED)
    assert set(calls) == set(COMPONENTS)
    assert set(bundle.manifest.variants) == set(COMPONENTS)
    pictures = passed(bundle, "vision_encoder", pb.KIND_REQUEST)
    assert [request.raw_input_contents[0] for request in pictures] == [PICTURE]
    decoded = b"".join(tensors(reply, "SOUND") for reply in passed(bundle, "codec_decoder", pb.KIND_REPLY))
    assert decoded == sound, "what the codec made is what the client heard"
    events = [
        wire.ConverseResponse.FromString(record.content)
        for record in bundle.records
        if record.edge == pb.EDGE_CONVERSATION and record.kind == pb.KIND_REPLY
    ]
    assert "".join(event.text_delta.text for event in events) == text
    told = [record for record in bundle.records if record.edge == pb.EDGE_CLIENT and record.kind == pb.KIND_REPLY]
    assert b"response.done" in told[-1].content
    assert bundle.manifest.turns[-1].outcome == "completed"


async def test_a_redacted_recording_holds_no_word_and_no_sound_of_a_turn(stack: RunningStack) -> None:
    session_id, text, sound = await ask_recorded(stack, "redacted")
    bundle = await asyncio.to_thread(recording_of, stack, session_id)
    content = b"".join(record.content for record in bundle.records) + bundle.snapshot.SerializeToString()
    words = [word.encode() for word in text.split() if len(word) >= LONG_WORD]
    assert words
    for secret in (PICTURE[100:140], sound[2000:2020], *words):
        assert secret not in content
    assert sum(record.byte_count for record in bundle.records) > len(PICTURE) + len(sound)
    assert bundle.manifest.turns[-1].outcome == "completed"


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Have a disk without room where recordings go; without the right to mount one, have no folder there."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    aside = folder.with_name("aside")
    if not is_mounted:
        folder.rename(aside)
        folder.write_bytes(b"")
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)
        else:
            folder.unlink()
            aside.rename(folder)


async def test_a_full_disk_loses_the_recording_and_not_the_turn(stack: RunningStack) -> None:
    def lost() -> float:
        return metric(stack, "orchestrator", "vita_recordings_total", outcome="lost_disk")

    before, folder = lost(), stack.state_dir / "recordings"
    with full_disk(folder):
        _, text, sound = await ask_recorded(stack, "full")
        await asyncio.to_thread(wait_until, lambda: lost() == before + 1, WRITTEN_S, "the loss to be counted")
        left = await asyncio.to_thread(lambda: list(folder.iterdir()) if folder.is_dir() else [])
        assert not left, "nothing half-written stays"
    assert text
    assert sound
    session_id, *_ = await ask_recorded(stack, "full")
    await asyncio.to_thread(recording_of, stack, session_id)
