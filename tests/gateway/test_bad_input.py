"""Everything that may be wrong with what a client sends: a clear refusal, and the next request is served."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import zlib
from collections.abc import Callable

import httpx
import numpy as np
import pytest
import soundfile

from tests.gateway.fake_orchestrator import WORDS, FakeOrchestrator
from tests.gateway.running import Running, StartGateway, Talker, picture, wav

pytestmark = pytest.mark.unit

SAID = "".join(WORDS)


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def huge_png(side_px: int = 30_000) -> bytes:
    """Return a valid PNG of one colour, some 100 kB that would decode to 2.7 GB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    row = b"\0" * (1 + side_px // 8 + 1)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def nan_wav() -> bytes:
    samples = np.zeros(8000, np.float32)
    samples[100] = np.nan
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def asks(part: object, **others: object) -> dict[str, object]:
    return {"model": "vita", "messages": [{"role": "user", "content": [part]}], **others}


def sound(content: bytes) -> dict[str, object]:
    return {"type": "input_audio", "input_audio": {"data": b64(content), "format": "wav"}}


def image(content: bytes, kind: str = "png") -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{b64(content)}"}}


TEXT = {"type": "text", "text": "Hi"}
SOUND_FIELD = "messages[0].content[0].input_audio.data"
IMAGE_FIELD = "messages[0].content[0].image_url"

BAD_CHAT: dict[str, tuple[Callable[[], object], str, str]] = {
    "a truncated WAV": (lambda: asks(sound(wav(1.0)[:9000])), SOUND_FIELD, "cut short"),
    "a WAV without a data chunk": (lambda: asks(sound(wav(1.0)[:30])), SOUND_FIELD, "cut short"),
    "a WAV of zero length": (lambda: asks(sound(wav(0))), SOUND_FIELD, "empty"),
    "no sound at all": (lambda: asks(sound(b"")), SOUND_FIELD, "not a sound file"),
    "words for a WAV": (lambda: asks(sound(b"hello there, this is no sound")), SOUND_FIELD, "not a sound file"),
    "NaN samples": (lambda: asks(sound(nan_wav())), SOUND_FIELD, "not finite"),
    "audio longer than the limit": (lambda: asks(sound(wav(31, 8_000))), SOUND_FIELD, "limit 30 s"),
    "a rate no card has": (lambda: asks(sound(wav(0.1, 2_000))), SOUND_FIELD, "sample rate"),
    "twelve channels": (lambda: asks(sound(wav(0.1, channels=12))), SOUND_FIELD, "channels"),
    "wrong base64": (
        lambda: asks({"type": "input_audio", "input_audio": {"data": "!!not base64!!", "format": "wav"}}),
        SOUND_FIELD,
        "base64",
    ),
    "base64 with a line break": (
        lambda: asks({"type": "input_audio", "input_audio": {"data": "AAAA\nAAAA", "format": "wav"}}),
        SOUND_FIELD,
        "base64",
    ),
    "an unknown sound format": (
        lambda: asks({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "aiff"}}),
        "messages[0].content[0].input_audio.format",
        "wav",
    ),
    "a JPEG cut in half": (lambda: asks(image(picture("JPEG", (400, 300))[:20_000], "jpeg")), IMAGE_FIELD, "damaged"),
    "a PNG cut in half": (lambda: asks(image(picture("PNG", (200, 200))[:60_000])), IMAGE_FIELD, "damaged"),
    "a 30,000 × 30,000 PNG": (lambda: asks(image(huge_png())), IMAGE_FIELD, "too large"),
    "a picture of another kind": (lambda: asks(image(picture("GIF"), "gif")), IMAGE_FIELD, "neither"),
    "a picture of too many bytes": (lambda: asks(image(b"\0" * 9_000_000)), IMAGE_FIELD, "too many bytes"),
    "a picture to fetch": (
        lambda: asks({"type": "image_url", "image_url": {"url": "http://127.0.0.1/secret.png"}}),
        IMAGE_FIELD,
        "data:",
    ),
    "wrong base64 of a picture": (
        lambda: asks({"type": "image_url", "image_url": {"url": "data:image/png;base64,@@@@"}}),
        IMAGE_FIELD,
        "base64",
    ),
    "an unknown detail": (
        lambda: asks({"type": "image_url", "image_url": {"url": image(picture())["image_url"]["url"], "detail": "x"}}),  # type: ignore[index]
        f"{IMAGE_FIELD}.detail",
        "low, high or auto",
    ),
    "a 5 MB text": (
        lambda: asks({"type": "text", "text": "a" * 5_000_000}),
        "messages[0].content[0].text",
        "limit 65536 bytes",
    ),
    "an empty message": (
        lambda: {"model": "vita", "messages": [{"role": "user", "content": ""}]},
        "messages[0].content",
        "empty",
    ),
    "no messages": (lambda: {"model": "vita", "messages": []}, "messages", "at least 1"),
    "too many messages": (
        lambda: {"model": "vita", "messages": [{"role": "user", "content": "Hi"}] * 257},
        "messages",
        "limit 256",
    ),
    "no model": (lambda: {"messages": [{"role": "user", "content": "Hi"}]}, "model", "required"),
    "a part without its field": (
        lambda: asks({"type": "image_url"}),
        "messages[0].content[0].image_url",
        "required",
    ),
    "an unknown part": (lambda: asks({"type": "video"}), "messages[0].content[0].type", "text"),
    "an assistant that shows pictures": (
        lambda: {"model": "vita", "messages": [{"role": "assistant", "content": [image(picture())]}]},
        "messages[0].content[0].type",
        "user",
    ),
    "a temperature that is a word": (lambda: asks(TEXT, temperature="hot"), "temperature", "number"),
    "a temperature beyond the range": (lambda: asks(TEXT, temperature=3), "temperature", "2"),
    "several answers": (lambda: asks(TEXT, n=2), "n", "not supported"),
    "a tool without a function": (
        lambda: asks(TEXT, tools=[{"type": "function"}]),
        "tools[0].function",
        "required",
    ),
    "a tool of another kind": (
        lambda: asks(TEXT, tools=[{"type": "custom", "custom": {"name": "x"}}]),
        "tools[0].type",
        "function",
    ),
    "a choice of another kind": (
        lambda: asks(TEXT, tool_choice={"type": "allowed_tools", "allowed_tools": {}}),
        "tool_choice.type",
        "function",
    ),
    "functions": (lambda: asks(TEXT, functions=[{"name": "x"}]), "functions", "not supported"),
    "a result of nothing": (
        lambda: {"model": "vita", "messages": [{"role": "tool", "content": "9:00"}]},
        "messages[0].tool_call_id",
        "required",
    ),
    "speech without a format": (lambda: asks(TEXT, modalities=["audio"]), "audio", "required"),
    "streamed speech as WAV": (
        lambda: asks(TEXT, modalities=["text", "audio"], audio={"voice": "a", "format": "wav"}, stream=True),
        "audio.format",
        "pcm16",
    ),
}


@pytest.mark.parametrize("case", BAD_CHAT, ids=list(BAD_CHAT))
async def test_a_bad_chat_completion_is_refused_by_name(http: httpx.AsyncClient, case: str) -> None:
    body, field, words = BAD_CHAT[case]
    answer = await http.post("/v1/chat/completions", json=body())
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == field
    assert words in error["message"]
    again = await http.post("/v1/chat/completions", json=asks(TEXT))
    assert again.json()["choices"][0]["message"]["content"] == SAID


@pytest.mark.parametrize(
    "content",
    [
        wav(0.5, 16_000, 1, "PCM_U8"),
        wav(0.5, 96_000, 2, "PCM_24"),
        wav(0.5, 44_100, 2, "PCM_16"),
        wav(0.5, 16_000, 1, "FLOAT"),
        wav(0.5, 8_000, 1, "ULAW"),
    ],
    ids=["8-bit", "96 kHz stereo", "44.1 kHz stereo", "float", "µ-law"],
)
async def test_an_unusual_wav_is_heard_as_it_sounds(
    http: httpx.AsyncClient, fake: FakeOrchestrator, content: bytes
) -> None:
    answer = await http.post("/v1/chat/completions", json=asks(sound(content)))
    assert answer.status_code == 200
    heard = np.frombuffer(fake.conversations[0].requests[0].create_item.item.parts[0].audio.samples, "<i2")
    assert len(heard) == pytest.approx(8000, abs=4)
    middle = heard[1000:-1000].astype(float)
    assert np.abs(middle).max() == pytest.approx(0.3 * 32767, rel=0.05)


async def test_a_float_wav_that_is_too_loud_is_clipped(http: httpx.AsyncClient, fake: FakeOrchestrator) -> None:
    await http.post("/v1/chat/completions", json=asks(sound(wav(0.2, subtype="FLOAT", level=4.0))))
    heard = np.frombuffer(fake.conversations[0].requests[0].create_item.item.parts[0].audio.samples, "<i2")
    assert (heard.max(), heard.min()) == (32767, -32768)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'{"model": "\xff\xfe"}', "invalid_utf8"),
        (b"", "invalid_json"),
        (b"[" * 5000, "invalid_json"),
    ],
)
async def test_a_body_that_is_no_object_is_refused(http: httpx.AsyncClient, content: bytes, code: str) -> None:
    answer = await http.post("/v1/chat/completions", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_beyond_the_limit_is_a_413(start_gateway: StartGateway, is_declared: bool) -> None:
    async def pieces() -> object:
        for _ in range(40):
            yield b"a" * 1000

    async with start_gateway(max_body_bytes=10_000) as served, httpx.AsyncClient(base_url=served.url) as http:
        content = b"a" * 40_000 if is_declared else pieces()
        answer = await http.post("/v1/chat/completions", content=content)  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


HALF_A_JPEG = f"data:image/jpeg;base64,{b64(picture('JPEG', (400, 300))[:20_000])}"


def item(fields: dict[str, object]) -> dict[str, object]:
    return {"type": "conversation.item.create", "item": fields}


def says(content: dict[str, object]) -> dict[str, object]:
    return item({"type": "message", "role": "user", "content": [content]})


def hears(changes: dict[str, object]) -> dict[str, object]:
    return {"type": "session.update", "session": {"audio": {"input": changes}}}


BAD_EVENTS: dict[str, tuple[object, str]] = {
    "an unknown event": ({"type": "conversation.dance"}, "unknown_event"),
    "no type": ({"event_id": "e1"}, "missing_required_parameter"),
    "a type that is a number": ({"type": 7}, "missing_required_parameter"),
    "not JSON": ("{nope", "invalid_json"),
    "not an object": ("[]", "invalid_json"),
    "invalid UTF-8": (b'{"type": "response.create\xff"}', "invalid_utf8"),
    "base64 garbage": ({"type": "input_audio_buffer.append", "audio": "@@@"}, "invalid_value"),
    "half a sample": ({"type": "input_audio_buffer.append", "audio": b64(b"abc")}, "invalid_value"),
    "audio that is a number": ({"type": "input_audio_buffer.append", "audio": 7}, "invalid_value"),
    "an item without a role": (item({"type": "message"}), "missing_required_parameter"),
    "an empty item": (
        item({"type": "message", "role": "user", "content": []}),
        "missing_required_parameter",
    ),
    "half a picture": (
        says({"type": "input_image", "image_url": HALF_A_JPEG}),
        "invalid_media",
    ),
    "a 5 MB text": (
        says({"type": "input_text", "text": "a" * 5_000_000}),
        "invalid_value",
    ),
    "an assistant's sound from the user": (
        says({"type": "output_text", "text": "a"}),
        "invalid_value",
    ),
    "an item before one that is not there": (
        {"type": "conversation.item.retrieve", "item_id": "nowhere"},
        "item_retrieve_invalid_item_id",
    ),
    "a cut of nothing": (
        {"type": "conversation.item.truncate", "item_id": "nowhere", "content_index": 0, "audio_end_ms": 1},
        "item_truncate_invalid_item_id",
    ),
    "a deletion of nothing": (
        {"type": "conversation.item.delete", "item_id": "nowhere"},
        "item_delete_invalid_item_id",
    ),
    "a format that GA does not have": (
        hears({"format": {"type": "audio/pcm", "rate": 16000}}),
        "invalid_value",
    ),
    "a transcription session": ({"type": "session.update", "session": {"type": "transcription"}}, "invalid_value"),
    "a threshold of two": (
        hears({"turn_detection": {"type": "server_vad", "threshold": 2}}),
        "invalid_value",
    ),
    "items for one response": (
        {"type": "response.create", "response": {"input": [{"type": "message"}]}},
        "unsupported_parameter",
    ),
    "too much metadata": (
        {"type": "response.create", "response": {"metadata": {str(n): "x" for n in range(17)}}},
        "invalid_value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_EVENTS, ids=list(BAD_EVENTS))
async def test_a_bad_event_is_answered_and_the_session_goes_on(talker: Talker, case: str) -> None:
    event, code = BAD_EVENTS[case]
    if isinstance(event, dict):
        event = json.dumps({"event_id": "mine", **event})
    if isinstance(event, bytes):
        await talker.socket.send(event, text=True)
    else:
        await talker.socket.send(str(event))
    error = (await talker.next())["error"]
    assert isinstance(error, dict)
    assert error["code"] == code
    if case not in ("not JSON", "not an object", "invalid UTF-8"):
        assert error["event_id"] in ("mine", "e1")
    await talker.send("response.create")
    done = await talker.until("response.done")
    assert done["response"]["status"] == "completed"  # type: ignore[index]


async def test_an_item_that_exists_is_refused_by_the_code_that_clients_know(talker: Talker) -> None:
    item = {"type": "message", "role": "user", "id": "mine", "content": [{"type": "input_text", "text": "hello"}]}
    await talker.send("conversation.item.create", item=item)
    await talker.send("conversation.item.create", item=item, event_id="second")
    error = (await talker.until("error"))["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["event_id"]) == ("item_create_duplicate_item_id", "second")


async def test_a_commit_of_nothing_is_refused_by_the_code_that_clients_know(talker: Talker) -> None:
    await talker.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
    await talker.send("input_audio_buffer.append", audio=b64(b"\0\0" * 24 * 50))
    await talker.send("input_audio_buffer.commit")
    error = (await talker.until("error"))["error"]
    assert error["code"] == "input_audio_buffer_commit_empty"  # type: ignore[index]


async def test_a_second_response_is_refused_by_the_code_that_clients_know(
    talker: Talker, fake: FakeOrchestrator
) -> None:
    fake.conversations[0].script.waits_before_end = asyncio.Event()
    await talker.send("response.create")
    await talker.send("response.create", event_id="second")
    error = (await talker.until("error"))["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")


async def test_an_utterance_by_hand_beyond_the_limit_is_refused(start_gateway: StartGateway) -> None:
    async with start_gateway(max_audio_s=1.0) as served, served.connect() as socket:
        talker = Talker(socket)
        await talker.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
        for _ in range(3):
            await talker.send("input_audio_buffer.append", audio=b64(b"\0\0" * 24 * 400))
        error = (await talker.until("error"))["error"]
        assert isinstance(error, dict)
        assert error["param"] == "audio"
        assert "limit 1 s" in error["message"]
        await talker.send("input_audio_buffer.commit")
        await talker.until("input_audio_buffer.committed")


async def test_events_before_the_first_session_update_are_served(served: Running) -> None:
    async with served.connect() as socket:
        talker = Talker(socket)
        await talker.send("input_audio_buffer.append", audio=b64(b"\0\0" * 2400))
        await talker.send("response.create")
        await talker.until("response.done")
    assert talker.kinds[0] == "session.created"
    assert "error" not in talker.kinds
