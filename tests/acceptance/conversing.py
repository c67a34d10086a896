"""Conversations with the running stack through its public API, and how busy its stages are."""

from __future__ import annotations

import base64
import contextlib
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import cast

from prometheus_client.parser import text_string_to_metric_families
from vita_cli.realtime_client import Answer, Event, RealtimeClient, connected

from tests.stack import RunningStack, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURE = (EXAMPLES / "shapes.png").read_bytes()
ANSWER_S = 100.0  # generous: machines that train beside the tests are slow
BY_HAND: Event = {"input": {"turn_detection": None}}
STREAMING = ("vision_encoder", "speech_encoder", "llm", "speech_decoder")  # the stages with engines of their own
STAGES = (*STREAMING, "codec_decoder")
IDLE_S = 1.0  # within which all work for a client that has gone must have stopped
REPORT_S = 2.0  # the stages tell their gauges once a second; on a slow machine the scrape takes its time, too


@contextlib.asynccontextmanager
async def session(stack: RunningStack, **configuration: object) -> AsyncGenerator[RealtimeClient]:
    """Hold a Realtime session whose answers depend on nothing but what is asked: greedy and seeded."""
    async with connected(stack.url) as client:
        await client.configure(**{"seed": 7, "temperature": 0, "audio": BY_HAND, **configuration})
        yield client


async def ask(client: RealtimeClient, words: str, picture: bytes = b"") -> Answer:
    """Ask in writing, about a picture if there is one; return the whole answer."""
    count = len(client.answers)
    await begin(client, words, picture)
    return await client.wait_for_answer(lambda one: one.is_done, since=count, timeout_s=ANSWER_S)


async def begin(client: RealtimeClient, words: str, picture: bytes = b"") -> None:
    """Ask in writing, and do not wait for the answer."""
    if picture:
        await client.send_image(picture)
    await client.send_text(words)
    await client.send("response.create")


async def ask_aloud(client: RealtimeClient, pcm: bytes, picture: bytes = b"") -> Answer:
    """Ask with sound that is committed by hand; return the whole answer."""
    count = len(client.answers)
    if picture:
        await client.send_image(picture)
    await client.send_audio(pcm)
    await client.send("input_audio_buffer.commit")
    await client.send("response.create")
    return await client.wait_for_answer(lambda one: one.is_done, since=count, timeout_s=ANSWER_S)


async def transcript(client: RealtimeClient, item_id: str) -> str:
    """Return the words of an item as the server remembers it."""
    seen = len(client.events)
    await client.send("conversation.item.retrieve", item_id=item_id)
    item = (await client.wait_for("conversation.item.retrieved", since=seen)).event["item"]
    content = cast("list[Event]", cast("Event", item)["content"])
    return "".join(str(part.get("text", part.get("transcript", ""))) for part in content)


def item_ids(client: RealtimeClient) -> list[str]:
    """Return the ids of the items that the server has told of, in order."""
    added = [one.event["item"] for one in client.events if one.kind == "conversation.item.added"]
    return [str(cast("Event", item)["id"]) for item in added]


def data_url(picture: bytes, kind: str = "png") -> str:
    """Return a picture as the API wants it."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def metric(stack: RunningStack, part: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that carry these labels; 0 where there are none yet."""
    url = f"{stack.url}/metrics" if part == "gateway" else f"http://{stack.address(part, 'metrics')}/metrics"
    with urllib.request.urlopen(url, timeout=10) as response:
        text = response.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def busy(stack: RunningStack, stages: tuple[str, ...] = STAGES, sessions: int = 0) -> dict[str, float]:
    """Return what still runs: open conversations beyond `sessions`, requests in flight, sessions held by engines.

    The language model holds the context of each open conversation, which is no work.
    """
    counts = {"conversations": metric(stack, "orchestrator", "vita_sessions") - sessions}
    for stage in stages:
        held = sessions if stage == "llm" else 0
        in_flight = metric(stack, "orchestrator", "vita_endpoint_in_flight", component=stage) - held
        engine = metric(stack, stage, "vita_component_sessions") - held if stage in STREAMING else 0
        counts[stage] = max(in_flight, engine)
    return {name: count for name, count in counts.items() if count > 0}


def wait_until_idle(stack: RunningStack, within_s: float, sessions: int = 0) -> None:
    """Fail unless every stage is idle in time."""
    started_s = time.monotonic()
    wait_until(lambda: not busy(stack, sessions=sessions), within_s, "every stage idle")
    print(f"every stage idle after {time.monotonic() - started_s:.2f} s")


def tokens(stack: RunningStack) -> dict[str, float]:
    """Return what each engine has put out so far."""
    return {stage: metric(stack, stage, "vita_component_items_total") for stage in STREAMING}


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait as long as even a slow machine may take."""
    wait_until(condition, ANSWER_S, what)
