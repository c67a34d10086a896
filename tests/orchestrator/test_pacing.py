"""How far ahead of the listener an answer may be: what is sent, and what is worked on."""

from __future__ import annotations

import asyncio

import pytest
from vita.conversation.v1 import conversation_service_pb2 as wire

from tests.fakes.components import FakeComponents
from tests.orchestrator.talk import talking

pytestmark = pytest.mark.unit

# Time is what these two wait for: a listener who has heard nothing yet, and what is not sent or decoded meanwhile.
REPORTS, REPORT_S = 20, 0.05
LISTENED_S = 0.9
LONG = " ".join(f"Sentence number {number} is spoken here." for number in range(12))


async def test_sound_is_sent_only_so_far_ahead_of_playback() -> None:
    fakes = FakeComponents.answering(LONG, token_s=0.001)
    async with talking(fakes, lead_ms=1000) as talk:
        await talk.ask("Speak.")
        await talk.until("response_done", within_s=200)
    first_s = talk.all("answer_audio")[0].at_s
    for heard in talk.all("answer_audio"):
        assert heard.event.answer_audio.start_ms - (heard.at_s - first_s) * 1000 <= 1000.5


async def test_reported_playback_holds_the_decoders_back() -> None:
    fakes = FakeComponents.answering(LONG, token_s=0.001)
    async with talking(fakes, lead_ms=1000) as talk:
        await talk.ask("Speak.")
        await talk.until("answer_audio")
        for _ in range(REPORTS):
            await talk.say(report_playback=wire.ReportPlayback(response_id=talk.response_id(0), played_ms=0))
            await asyncio.sleep(REPORT_S)
        latest_ms = talk.all("answer_audio")[-1].event.answer_audio.start_ms
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
    assert latest_ms <= 1100


async def test_an_unpaced_client_gets_sound_as_fast_as_it_is_made() -> None:
    fakes = FakeComponents.answering(LONG, token_s=0.001)
    unpaced = wire.SessionConfiguration(is_paced=False)
    async with talking(fakes, configuration=unpaced) as talk:
        await talk.ask("Speak.")
        await talk.until("response_done")
    done = talk.all("response_done")[0]
    assert done.event.response_done.audio_ms > 30_000
    assert done.at_s < 10


async def test_work_ahead_of_a_slow_listener_is_bounded() -> None:
    fakes = FakeComponents.answering(LONG, token_s=0.001)
    async with talking(fakes, lead_ms=1000) as talk:
        await talk.ask("Speak.")
        await talk.until("answer_audio")
        await talk.say(report_playback=wire.ReportPlayback(response_id=talk.response_id(0), played_ms=0))
        await asyncio.sleep(LISTENED_S)
        windows = fakes.bench.calls["codec_decoder.decode"]
        await talk.say(interrupt=wire.Interrupt())
        await talk.until("response_done")
    assert windows <= 8  # 2 s sent, and what the queues between the stages hold
