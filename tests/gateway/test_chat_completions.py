"""`/v1/chat/completions` with OpenAI's own client."""

from __future__ import annotations

import asyncio
import base64
import io

import grpc
import httpx
import numpy as np
import openai
import pytest
import soundfile
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import item_pb2
from vita.media.v1 import media_pb2

from tests.gateway.fake_orchestrator import SOUND, WORDS, FakeOrchestrator, status
from tests.gateway.running import Running, StartGateway, picture, until, wav

pytestmark = pytest.mark.unit

SAID = "".join(WORDS)


def client(served: Running, key: str = "none", **options: object) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0, **options)


def data_url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def sound_part(content: bytes) -> dict[str, object]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(content).decode(), "format": "wav"}}


async def test_a_text_question_gets_a_text_answer_with_its_usage(served: Running, fake: FakeOrchestrator) -> None:
    async with client(served) as api:
        answer = await api.chat.completions.create(model="vita", messages=[{"role": "user", "content": "What is it?"}])
    assert answer.choices[0].message.content == SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (32, 5)
    opening = fake.openings[0]
    assert opening.is_ephemeral
    assert opening.configuration.modality == wire.MODALITY_TEXT
    assert not opening.configuration.turn_detection.is_enabled


async def test_picture_and_speech_reach_the_conversation_as_the_model_wants_them(
    served: Running, fake: FakeOrchestrator
) -> None:
    content = [
        {"type": "image_url", "image_url": {"url": data_url(picture()), "detail": "low"}},
        sound_part(wav(0.5, rate_hz=48_000, channels=2)),
        {"type": "text", "text": "please"},
    ]
    async with client(served) as api:
        await api.chat.completions.create(model="vita", messages=[{"role": "user", "content": content}])
    item = fake.conversations[0].requests[0].create_item.item
    frame, sound, text = item.parts
    assert frame.image.content == picture()
    assert frame.image.encoding == media_pb2.IMAGE_ENCODING_PNG
    assert frame.image.detail == media_pb2.IMAGE_DETAIL_LOW
    assert sound.audio.sample_rate_hz == 16_000
    assert len(sound.audio.samples) == pytest.approx(16_000, abs=4)  # half a second of 16 bits
    assert text.text == "please"


async def test_leading_system_messages_are_the_instructions(served: Running, fake: FakeOrchestrator) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    async with client(served) as api:
        await api.chat.completions.create(
            model="vita", messages=messages, temperature=0.5, seed=7, max_completion_tokens=50
        )
    configuration = fake.openings[0].configuration
    assert configuration.instructions == "Be kind.\nBe brief."
    assert (configuration.temperature, configuration.seed, configuration.max_output_tokens) == (0.5, 7, 50)
    items = fake.conversations[0].events("create_item")
    roles = [item.item.role for item in items]
    assert roles == [item_pb2.ROLE_USER, item_pb2.ROLE_ASSISTANT, item_pb2.ROLE_USER]


@pytest.mark.parametrize("audio_format", ["wav", "pcm16", "flac", "mp3", "opus"])
async def test_a_spoken_answer_comes_in_the_format_asked_for(served: Running, audio_format: str) -> None:
    async with client(served) as api:
        answer = await api.chat.completions.create(
            model="vita",
            messages=[{"role": "user", "content": "Say it"}],
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": audio_format},
        )
    audio = answer.choices[0].message.audio
    assert audio is not None
    assert audio.transcript == SAID
    assert answer.choices[0].message.content is None
    content = base64.b64decode(audio.data)
    if audio_format == "pcm16":
        assert content == SOUND * 3
        return
    samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="int16")
    assert rate_hz == 24_000
    assert len(samples) == pytest.approx(len(SOUND) * 3 / 2, rel=0.2)  # codecs pad
    if audio_format == "wav":
        assert samples.tobytes() == SOUND * 3


async def test_a_streamed_answer_is_words_and_sound_as_they_are_made(served: Running) -> None:
    words, sound, expiries, finish, usage = [], b"", [], None, None
    async with client(served) as api:
        stream = await api.chat.completions.create(
            model="vita",
            messages=[{"role": "user", "content": "Say it"}],
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "pcm16"},
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                audio = choice.delta.audio
                if audio is not None:
                    words.append(audio.transcript or "")
                    sound += base64.b64decode(audio.data or "")
                    expiries.append(audio.expires_at)
                finish = choice.finish_reason or finish
    assert "".join(words) == SAID
    assert sound == SOUND * 3
    assert any(expiries)
    assert finish == "stop"
    assert usage is not None
    assert usage.completion_tokens == 5


async def test_the_first_words_are_sent_before_the_answer_is_done(served: Running, fake: FakeOrchestrator) -> None:
    fake.script.waits_before_end = asyncio.Event()
    async with client(served) as api:
        stream = await api.chat.completions.create(
            model="vita", messages=[{"role": "user", "content": "Say it"}], stream=True
        )
        async with asyncio.timeout(3):
            first = await anext(stream)
            second = await anext(stream)
        assert first.choices[0].delta.role == "assistant"
        assert second.choices[0].delta.content == WORDS[0]
        fake.script.waits_before_end.set()
        rest = [chunk async for chunk in stream]
    assert rest[-1].choices[0].finish_reason == "stop"


async def test_an_earlier_spoken_answer_is_known_by_its_id(served: Running, fake: FakeOrchestrator) -> None:
    async with client(served) as api:
        first = await api.chat.completions.create(
            model="vita",
            messages=[{"role": "user", "content": "Say it"}],
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "wav"},
        )
        audio = first.choices[0].message.audio
        assert audio is not None
        history = [
            {"role": "user", "content": "Say it"},
            {"role": "assistant", "audio": {"id": audio.id}},
            {"role": "user", "content": "Again"},
        ]
        await api.chat.completions.create(model="vita", messages=history)
        history[1] = {"role": "assistant", "audio": {"id": "audio_unknown"}}
        with pytest.raises(openai.BadRequestError) as refused:
            await api.chat.completions.create(model="vita", messages=history)
    assert fake.conversations[1].requests[1].create_item.item.parts[0].text == SAID
    assert refused.value.param == "messages[1].audio.id"


async def test_the_longest_answer_ends_with_length(served: Running, fake: FakeOrchestrator) -> None:
    fake.script.outcome = wire.RESPONSE_OUTCOME_LENGTH
    async with client(served) as api:
        answer = await api.chat.completions.create(model="vita", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].finish_reason == "length"


async def test_noise_gets_an_empty_answer(served: Running, fake: FakeOrchestrator) -> None:
    fake.script.words, fake.script.chunk_count = (), 0
    fake.script.outcome = wire.RESPONSE_OUTCOME_IGNORED
    async with client(served) as api:
        whole = await api.chat.completions.create(model="vita", messages=[{"role": "user", "content": "Hi"}])
        stream = await api.chat.completions.create(
            model="vita", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].message.content == ""
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("refusal", "expected", "code"),
    [
        (
            status(grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_AT_CAPACITY", retry_after_ms="1500"),
            429,
            "rate_limit_exceeded",
        ),
        (status(grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_STORE_UNAVAILABLE"), 503, "store_unavailable"),
        (status(grpc.StatusCode.INTERNAL, "ERROR_REASON_INTERNAL"), 500, "internal_error"),
    ],
)
async def test_a_refused_conversation_is_an_http_error(
    http: httpx.AsyncClient, fake: FakeOrchestrator, refusal: object, expected: int, code: str
) -> None:
    fake.script.refusal = refusal  # type: ignore[assignment]
    answer = await http.post(
        "/v1/chat/completions", json={"model": "vita", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    )
    assert answer.status_code == expected
    assert answer.json()["error"]["code"] == code
    if expected == 429:
        assert answer.headers["retry-after-ms"] == "1500"


async def test_a_context_that_is_too_long_is_a_400(served: Running, fake: FakeOrchestrator) -> None:
    fake.script.item_refusal = status(
        grpc.StatusCode.OUT_OF_RANGE, "ERROR_REASON_CONTEXT_FULL", "too long", limit="1024"
    )
    async with client(served) as api:
        with pytest.raises(openai.BadRequestError) as refused:
            await api.chat.completions.create(model="vita", messages=[{"role": "user", "content": "Hi"}])
    assert refused.value.code == "context_length_exceeded"
    assert "1024" in refused.value.message


async def test_an_answer_that_fails_half_way_ends_the_stream_with_an_error(
    served: Running, fake: FakeOrchestrator
) -> None:
    fake.script.outcome = wire.RESPONSE_OUTCOME_FAILED
    fake.script.failure = status(grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_COMPONENT_UNAVAILABLE", "llm was lost")
    async with client(served) as api:
        with pytest.raises(openai.InternalServerError) as failed:
            await api.chat.completions.create(model="vita", messages=[{"role": "user", "content": "Hi"}])
        assert failed.value.status_code == 503
        stream = await api.chat.completions.create(
            model="vita", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        words: list[str] = []

        async def listen() -> None:
            async for chunk in stream:
                words.append(chunk.choices[0].delta.content or "")

        with pytest.raises(openai.APIError, match="llm was lost"):
            await listen()
    assert "".join(words) == SAID


async def test_a_lost_orchestrator_is_a_503_in_time(fake: FakeOrchestrator, start_gateway: StartGateway) -> None:
    nowhere = start_gateway(orchestrator_address="127.0.0.1:1", connect_s=0.5)
    async with nowhere as served, httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.post(
            "/v1/chat/completions", json={"model": "vita", "messages": [{"role": "user", "content": "Hi"}]}
        )
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"


async def test_an_answer_that_takes_too_long_is_a_504(fake: FakeOrchestrator, start_gateway: StartGateway) -> None:
    fake.script.waits_before_end = asyncio.Event()
    async with start_gateway(answer_s=0.3) as served, httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.post(
            "/v1/chat/completions", json={"model": "vita", "messages": [{"role": "user", "content": "Hi"}]}
        )
    assert answer.status_code == 504
    await asyncio.wait_for(fake.conversations[0].cancelled.wait(), 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_vanishes_stops_the_work_within_a_second(
    served: Running, fake: FakeOrchestrator, stream: bool
) -> None:
    fake.script.waits_before_end = asyncio.Event()
    async with httpx.AsyncClient(base_url=served.url) as http:
        body = {"model": "vita", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=body))
        await until(lambda: fake.conversations and fake.conversations[0].events("create_response"))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(fake.conversations[0].cancelled.wait(), 1)


async def test_the_trace_and_the_request_id_go_along(http: httpx.AsyncClient, fake: FakeOrchestrator) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = await http.post(
        "/v1/chat/completions",
        json={"model": "vita", "messages": [{"role": "user", "content": "Hi"}]},
        headers={"traceparent": traceparent},
    )
    told = fake.conversations[0].metadata
    assert told["traceparent"].split("-")[1] == "a" * 32
    assert told["x-request-id"] == answer.headers["x-request-id"]


async def test_samples_survive_the_way_in(served: Running, fake: FakeOrchestrator) -> None:
    async with client(served) as api:
        await api.chat.completions.create(
            model="vita",
            messages=[{"role": "user", "content": [sound_part(wav(0.25))]}],  # type: ignore[list-item]
        )
    heard = np.frombuffer(fake.conversations[0].requests[0].create_item.item.parts[0].audio.samples, "<i2")
    asked, _ = soundfile.read(io.BytesIO(wav(0.25)), dtype="int16")
    assert np.abs(heard.astype(int) - asked.astype(int)).max() <= 1
