"""`vita talk` against a gateway with a scripted conversation behind it."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import soundfile
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_cli import talk
from vita_cli.realtime_client import RealtimeError, connected, microphone, realtime_url
from vita_cli.sounds import read_sound, trailing_silence_s
from vita_gateway.settings import Settings

from tests.gateway.fake_orchestrator import SOUND, WORDS, FakeConversation, FakeOrchestrator, Script, serving, status
from tests.gateway.running import Running, picture, running, until, wav

pytestmark = pytest.mark.unit

SAID = "".join(WORDS)
MIN_ANSWER_MS = 600


@dataclass
class Setting:
    """A gateway, and who is behind it."""

    served: Running
    fake: FakeOrchestrator


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    fake = FakeOrchestrator()
    async with serving(fake) as address, running(Settings(address, api_key="secret", drain_s=0.1)) as served:
        yield Setting(served, fake)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITA_API_KEY", "secret")


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "q.wav"
    path.write_bytes(wav(0.4, 16_000))
    return path


async def talks(*arguments: str) -> int:
    """Run the verb as the shell would."""
    parser = argparse.ArgumentParser()
    talk.add_arguments(parser)
    parsed = parser.parse_args(arguments)
    return await asyncio.to_thread(talk.run, parsed)


async def answers_once_it_has_heard(fake: FakeOrchestrator, least_ms: int) -> FakeConversation:
    """Answer as an orchestrator with voice activity would, as soon as `least_ms` have been heard."""
    await until(lambda: fake.conversations and len(fake.conversations[0].heard) >= least_ms * 32, 5)
    held = fake.conversations[0]
    held.say(speech_started=wire.SpeechStarted(item_id="item_q"))
    held.say(speech_stopped=wire.SpeechStopped(item_id="item_q", audio_end_ms=least_ms))
    held.say(audio_committed=wire.AudioCommitted(item_id="item_q"))
    held.start("resp_q")
    held.say(text_delta=wire.TextDelta(response_id="resp_q", text=SAID))
    for index in range(3):
        held.sound("resp_q", index * 200)
    held.end("resp_q", wire.RESPONSE_OUTCOME_COMPLETED)
    return held


async def test_a_fast_question_is_committed_and_answered(
    setting: Setting, question: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = tmp_path / "p.png", tmp_path / "answer.wav"
    image.write_bytes(picture())
    code = await talks(
        "--audio", str(question), "--image", str(image), "--text", "Look.", "--out", str(out),
        "--url", setting.served.url, "--fast", "--json",
    )  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    facts = json.loads(printed.out)
    assert facts["answer"] == SAID
    assert facts["audio_ms"] == MIN_ANSWER_MS
    assert 0 <= facts["first_text_ms"] <= facts["first_audio_ms"] <= facts["last_audio_ms"] < 2000
    assert facts["server"]["first_audio_ms"] == 120
    samples, rate_hz = soundfile.read(out, dtype="int16")
    assert (rate_hz, samples.tobytes()) == (24_000, SOUND * 3)
    held = setting.fake.conversations[0]
    shown, said = held.events("create_item")
    assert shown.item.parts[0].image.content == picture()  # type: ignore[attr-defined]
    assert said.item.parts[0].text == "Look."  # type: ignore[attr-defined]
    assert len(held.heard) == pytest.approx(400 * 32, abs=8)


async def test_a_question_is_spoken_at_the_pace_of_speech_and_silence_follows(
    setting: Setting, question: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began_s = asyncio.get_running_loop().time()
    answering = asyncio.create_task(answers_once_it_has_heard(setting.fake, 900))
    code = await talks("--audio", str(question), "--url", setting.served.url)
    held = await answering
    took_s = asyncio.get_running_loop().time() - began_s
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert printed.out.startswith(SAID)
    assert took_s >= 0.85
    heard = np.abs(np.frombuffer(held.heard, "<i2").astype(int))
    assert heard[: 350 * 16].max() > 5000
    assert heard[500 * 16 :].max() == 0
    assert not held.events("commit_audio")


async def test_a_text_alone_is_a_question(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    assert await talks("--text", "Hello", "--url", setting.served.url) == 0
    assert SAID in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to ask"),
        (["--audio", "/nowhere/q.wav"], "cannot be read"),
        (["--text", "Hi", "--image", "/nowhere/p.png"], "cannot be read"),
        (["--text", "Hi", "--url", "http://127.0.0.1:1"], "cannot be reached"),
        (["--text", "Hi", "--url", "nonsense"], "is not a URL"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await talks(*arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert words in printed.err
    assert printed.err.count("\n") == 1


async def test_a_wrong_key_is_said(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITA_API_KEY", "wrong")
    assert await talks("--text", "Hi", "--url", setting.served.url) == 1
    assert "the API key is not right" in capsys.readouterr().err


async def test_a_failed_answer_is_a_failure(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    lost = status(grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_COMPONENT_UNAVAILABLE", "llm was lost")
    setting.fake.script = Script(outcome=wire.RESPONSE_OUTCOME_FAILED, failure=lost)
    assert await talks("--text", "Hi", "--url", setting.served.url) == 1
    assert capsys.readouterr().err == "error: the answer failed: llm was lost\n"


async def test_a_picture_that_is_none_is_a_failure(
    setting: Setting, question: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await talks("--text", "Hi", "--image", str(question), "--url", setting.served.url) == 1
    assert "neither a JPEG nor a PNG" in capsys.readouterr().err


async def test_one_can_speak_while_an_answer_comes_in(setting: Setting) -> None:
    setting.fake.script.waits_before_end = asyncio.Event()
    async with connected(setting.served.url, api_key="secret") as client:
        await client.send("response.create")
        answer = await client.wait_for_answer(lambda one: one.audio_ms >= MIN_ANSWER_MS)
        async with microphone(client) as mouth:
            await mouth.say(b"\x00\x10" * 24 * 100)
            assert not answer.is_done
            held = setting.fake.conversations[0]
            await until(lambda: len(held.heard) >= 80 * 32)
            held.end("resp_1", wire.RESPONSE_OUTCOME_INTERRUPTED)
            done = await client.wait_for_answer(lambda one: one.is_done)
    assert (done.status, done.reason) == ("cancelled", "turn_detected")
    assert sum(ms for _, ms in done.arrivals) == done.audio_ms


async def test_a_server_that_goes_away_is_noticed(setting: Setting) -> None:
    async with connected(setting.served.url, api_key="secret") as client:
        setting.served.gateway.draining.set()
        with pytest.raises(RealtimeError, match="closed the connection: 1001"):
            await client.wait_for_answer(lambda one: one.is_done)


def test_the_end_of_a_question_is_the_end_of_its_voice(tmp_path: Path) -> None:
    path = tmp_path / "q.wav"
    samples, rate_hz = soundfile.read(io.BytesIO(wav(0.5)), dtype="float32")
    soundfile.write(path, np.concatenate([samples, np.zeros(rate_hz * 3 // 10, np.float32)]), rate_hz)
    assert trailing_silence_s(read_sound(path)) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:1", "ws://h:1/v1/realtime?model=vita"),
        ("https://h/v1", "wss://h/v1/realtime?model=vita"),
        ("ws://h:1/v1/realtime", "ws://h:1/v1/realtime?model=vita"),
    ],
)
def test_a_servers_url_leads_to_its_realtime_endpoint(url: str, expected: str) -> None:
    assert realtime_url(url, "vita") == expected
