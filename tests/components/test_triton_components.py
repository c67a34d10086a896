"""The clients, against real Triton models with whatever weights there are, keep the laws of the components."""

from __future__ import annotations

import asyncio
import io
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from PIL import Image
from vita_components.connect import NAMES, connect
from vita_orchestrator.components import Components

from tests.components.laws import LONG, ComponentLaws, speech
from tests.stack import RunningStack

pytestmark = pytest.mark.triton


@pytest.fixture
async def components(stack: RunningStack) -> AsyncIterator[Components]:
    async with connect({name: [stack.address(name)] for name in NAMES}) as connected:
        await connected.wait_ready(10)
        yield connected


@pytest.fixture(scope="module")
def picture() -> bytes:
    image = io.BytesIO()
    Image.linear_gradient("L").resize((300, 200)).convert("RGB").save(image, "JPEG")
    return image.getvalue()


class TestTriton(ComponentLaws):
    """As every component."""


def read_page(url: str) -> str:
    """Return what stands at a URL."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read().decode()


async def sessions_of(stack: RunningStack, component: str) -> float:
    """What the model's own gauge says it holds."""
    url = f"http://{stack.address(component, 'metrics')}/metrics"
    page = await asyncio.to_thread(read_page, url)
    lines = [line for line in page.splitlines() if line.startswith("vita_component_sessions{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def assert_released(stack: RunningStack, component: str, within_s: float = 4.0) -> None:
    """The gauge is brought up to date once a second, so this cannot be exact."""
    give_up_s = time.monotonic() + within_s
    while await sessions_of(stack, component):
        assert time.monotonic() < give_up_s, f"{component} still holds what its client left"
        await asyncio.sleep(0.2)


async def test_leaving_a_context_in_the_middle_of_an_answer_releases_it(
    stack: RunningStack, components: Components
) -> None:
    async with components.llm.context("s") as context:
        await context.append_text("user", "Tell me a long story.")
        async with aclosing(context.generate(LONG)) as events:
            await anext(events)
    await assert_released(stack, "llm")


async def test_leaving_a_clause_or_an_utterance_releases_it(stack: RunningStack, components: Components) -> None:
    async with aclosing(components.speech_decoder.speak("Left early.", seed=0)) as chunks:
        await anext(chunks)
    async with components.speech_encoder.utterance() as utterance:
        await utterance.push(speech(0.5))
    await assert_released(stack, "speech_decoder")
    await assert_released(stack, "speech_encoder")


async def test_decoding_in_windows_equals_decoding_at_once(components: Components) -> None:
    codec = components.codec_decoder
    codes = tuple((7 * n) % 1024 for n in range(60))
    whole = await codec.decode(codes, keep_from=0, keep_count=60)
    window = await codec.decode(codes[10:50], keep_from=10, keep_count=20)  # keeps codes 20 to 40
    kept = memoryview(whole[20 * 1200 : 40 * 1200]).cast("h")
    assert max(abs(a - b) for a, b in zip(kept, memoryview(window).cast("h"), strict=True)) <= 2
