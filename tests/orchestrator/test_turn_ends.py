"""Who stops in the middle of a sentence is waited for; nobody is for longer because an encoder is lost or slow."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.recording_pb2 import EDGE_INSIDE, KIND_OBSERVED, Record
from vita_recordings import tape
from vita_replay.tape import ReplayTape

from tests.fakes.components import FakeComponents
from tests.fakes.faults import Fault
from tests.orchestrator.talk import SILENCE, VOICE, Talk, talking

pytestmark = pytest.mark.unit

SEMANTIC = wire.SessionConfiguration(
    turn_detection=wire.TurnDetection(is_enabled=True, unfinished_silence_duration_ms=1500)
)
SPOKEN_MS = 960
SILENCE_S, UNFINISHED_SILENCE_S = 0.48, 1.472  # to the start of the frame that makes it 0.5 s, and 1.5 s


def sounding(finished: float | None) -> FakeComponents:
    """Components whose speech encoder finds everything as finished as that."""
    fakes = FakeComponents.answering("Yes.")
    if finished is not None:
        fakes.speech_encoder.finished = lambda sound: finished
    return fakes


async def silence_s(talk: Talk) -> float:
    """Speak, and return how long the silence was that ended the turn."""
    await talk.speak((VOICE, SPOKEN_MS))
    fallen_silent_s = asyncio.get_running_loop().time()
    await talk.speak((SILENCE, 1920))
    return (await talk.until("speech_stopped")).at_s - fallen_silent_s


def waits(outcome: str) -> tuple[float, float]:
    """How many turns were held open, and for how long in all."""
    count, total = (
        REGISTRY.get_sample_value(f"vita_unfinished_wait_seconds_{name}", {"outcome": outcome})
        for name in ("count", "sum")
    )
    return count or 0.0, total or 0.0


@pytest.mark.parametrize(("finished", "expected_s"), [(None, SILENCE_S), (0.9, SILENCE_S), (0.1, UNFINISHED_SILENCE_S)])
async def test_an_unfinished_sentence_is_given_more_silence(finished: float | None, expected_s: float) -> None:
    async with talking(sounding(finished), configuration=SEMANTIC) as talk:
        assert await silence_s(talk) == pytest.approx(expected_s, abs=0.002)
        stopped = (await talk.until("speech_stopped")).event.speech_stopped
        assert stopped.audio_end_ms == pytest.approx(SPOKEN_MS, abs=32), "the silence is not part of what was said"
        assert (await talk.until("response_done")).event.response_done.outcome == wire.RESPONSE_OUTCOME_COMPLETED


async def test_without_being_asked_for_it_silence_alone_ends_a_turn() -> None:
    async with talking(sounding(0.1)) as talk:
        assert await silence_s(talk) == pytest.approx(SILENCE_S, abs=0.002)


async def test_who_goes_on_says_one_sentence_and_is_judged_again_at_its_end() -> None:
    fakes = FakeComponents.answering("Yes.")
    fakes.speech_encoder.finished = lambda sound: (
        0.1 if VOICE not in sound[-32 * 1600 :] or len(sound) < 64_000 else 0.9
    )
    before = waits("resumed")
    async with talking(fakes, configuration=SEMANTIC) as talk:
        await talk.speak((VOICE, 960), (SILENCE, 960), (VOICE, 640))
        assert not talk.all("speech_stopped")
        await talk.speak((SILENCE, 640))
        await talk.until("response_done")
        assert len(talk.all("speech_started")) == len(talk.all("speech_stopped")) == 1
    (utterance,) = fakes.speech_encoder.utterances
    assert utterance.sample_count // 16 == pytest.approx(960 + 960 + 640 + 512, abs=32)
    count, total_s = (after - was for after, was in zip(waits("resumed"), before, strict=True))
    assert (count, total_s) == (1, pytest.approx(0.46))


async def test_a_wait_that_nobody_ends_is_counted() -> None:
    before = waits("ended")
    async with talking(sounding(0.1), configuration=SEMANTIC) as talk:
        await silence_s(talk)
    count, total_s = (after - was for after, was in zip(waits("ended"), before, strict=True))
    assert (count, total_s) == (1, pytest.approx(1.0, abs=0.04))


async def test_an_encoder_that_stopped_in_the_middle_of_the_words_holds_nobody() -> None:
    fakes = sounding(0.1)
    fakes.bench.faults.append(Fault("embeddings", after_outputs=5, delay_s=5.0))  # 800 ms of 960
    async with talking(fakes, configuration=SEMANTIC) as talk:
        assert await silence_s(talk) == pytest.approx(SILENCE_S, abs=0.002)


async def test_an_encoder_that_is_slow_holds_nobody() -> None:
    fakes = sounding(0.1)
    fakes.speech_encoder.chunk_s = 0.3
    async with talking(fakes, configuration=SEMANTIC) as talk:
        assert await silence_s(talk) == pytest.approx(SILENCE_S, abs=0.002)
        await talk.until("response_done")


@pytest.mark.parametrize(
    ("observed", "expected_s"), [("0.100", UNFINISHED_SILENCE_S), ("0.900", SILENCE_S), ("", SILENCE_S)]
)
async def test_a_replay_is_told_what_the_recording_heard(observed: str, expected_s: float) -> None:
    heard = Record(edge=EDGE_INSIDE, kind=KIND_OBSERVED, name="finished", content=observed.encode())
    tape.use(ReplayTape((heard,), asyncio.get_running_loop().time))
    try:
        async with talking(sounding(0.9 if observed == "0.100" else 0.1), configuration=SEMANTIC) as talk:
            assert await silence_s(talk) == pytest.approx(expected_s, abs=0.002)
    finally:
        tape.use(None)
