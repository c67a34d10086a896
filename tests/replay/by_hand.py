"""Recordings made by hand: one turn, a message at a time."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ITEM_STATUS_COMPLETED, ROLE_ASSISTANT, ContentPart, Item
from vita.media.v1.media_pb2 import AudioChunk
from vita.recording.v1.recording_pb2 import (
    EDGE_COMPONENT,
    EDGE_CONVERSATION,
    KIND_CLOSED,
    KIND_FAILED,
    KIND_OPENED,
    KIND_REPLY,
    KIND_REQUEST,
    Edge,
    Kind,
    Record,
)
from vita_components.codec_decoder import decode_request
from vita_components.llm import llm_request
from vita_components.speech_decoder import speak_request
from vita_components.speech_encoder import utterance_request
from vita_components.tensors import Tensor, integer_tensor, text_tensor
from vita_components.triton import build_request
from vita_components.vision_encoder import encode_request

Pieces = tuple[Any, ...]
SAMPLING = {"max_tokens": 64, "temperature": 0.0, "seed": 7, "states": "speech,noise", "noise_threshold": 0.5}


def response(*tensors: Tensor) -> Message:
    """A ModelInferResponse of some tensors."""
    from google.protobuf import descriptor_pool, message_factory

    build_request("llm")  # the messages are known from then on
    descriptor = descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferResponse")
    message: Any = message_factory.GetMessageClass(descriptor)()
    for tensor in tensors:
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_output_contents.append(tensor.raw)
    return message


@dataclass(slots=True)
class Recording:
    """Records in the making, 10 ms apart."""

    records: list[Record] = field(default_factory=list)
    call: int = 0
    sequence: int = 0
    position: int = 0

    def note(self, edge: Edge, kind: Kind, content: Message | None = None, **fields: Any) -> None:
        raw = content.SerializeToString(deterministic=True) if content is not None else b""
        name = content.DESCRIPTOR.full_name if content is not None else ""
        at = len(self.records) * 10_000_000
        self.records.append(Record(time_ns=at, edge=edge, kind=kind, type=name, content=raw, **fields))

    def one(
        self, component: str, requests: Pieces, replies: Pieces, failure: str = "", *, is_opened: bool = True
    ) -> None:
        """A call of its own: all requests, then all replies."""
        self.call += 1
        at = {"component": component, "call": self.call}
        if is_opened:
            self.note(EDGE_COMPONENT, KIND_OPENED, address="127.0.0.1:1", **at)
        for request in requests:
            self.note(EDGE_COMPONENT, KIND_REQUEST, request, **at)
        for reply in replies:
            self.note(EDGE_COMPONENT, KIND_REPLY, reply, **at)
        if failure:
            self.note(EDGE_COMPONENT, KIND_FAILED, name=failure, **at)
        self.note(EDGE_COMPONENT, KIND_CLOSED, **at)

    def see(self, picture: bytes = b"a picture", rows: Pieces = (b"ab", b"cd")) -> None:
        replies = [
            response(Tensor("EMBEDDINGS", "FP16", (1, 1), tile), integer_tensor("TILE", [index, len(rows)]))
            for index, tile in enumerate(rows)
        ]
        self.one("vision_encoder", (encode_request(picture, 1),), tuple(replies))

    def hear(
        self, sound: Pieces = (b"soun", b"ding"), rows: Pieces = (b"efgh", b"ijkl"), *, is_whole: bool = True
    ) -> None:
        requests = [utterance_request("u", "open"), *(utterance_request("u", "push", chunk) for chunk in sound)]
        replies = [response(Tensor("EMBEDDINGS", "FP16", (2, 1), row)) for row in rows]
        if is_whole:
            requests.append(utterance_request("u", "finish"))
            replies.append(response(Tensor("EMBEDDINGS", "FP16", (0, 1), b""), integer_tensor("END", [1])))
        self.one("speech_encoder", tuple(requests), tuple(replies))

    def think(
        self,
        pieces: Pieces = ("Red", "."),
        *,
        history: Pieces = (),
        question: Pieces = (b"efgh", b"ijkl"),
        end: str = "stop",
        speech: float = 0.9,
        is_opened: bool = True,
    ) -> None:
        """A context with some history, the rows of a question and a generation."""
        messages: list[tuple[Kind, Any]] = []
        self.position = 0 if is_opened else 30
        for words in history:
            messages += self._append("append_text", [text_tensor("TEXT", words)], role="assistant")
        for rows in question:
            messages += self._append("append_embeddings", [Tensor("EMBEDDINGS", "FP16", (2, 1), rows)], role="user")
        messages.append((KIND_REQUEST, self._ask("generate", (), **SAMPLING)))
        scores = Tensor("SCORES", "FP32", (3,), struct.pack("<3f", speech, 0.0, 1 - speech))
        messages.append((KIND_REPLY, self._reply("judgement", "speech", scores)))
        for piece in pieces:
            self.position += 1
            messages.append((KIND_REPLY, self._reply("text", piece)))
        messages.append((KIND_REPLY, self._reply("end", end)))
        self.call += 1
        at = {"component": "llm", "call": self.call}
        if is_opened:
            self.note(EDGE_COMPONENT, KIND_OPENED, **at)
        for kind, message in messages:
            self.note(EDGE_COMPONENT, kind, message, **at)

    def _append(self, op: str, tensors: list[Tensor], **parameters: Any) -> list[tuple[Kind, Any]]:
        asked = self._ask(op, tensors, **parameters)
        self.position += 2
        return [(KIND_REQUEST, asked), (KIND_REPLY, self._reply("appended", ""))]

    def _ask(self, op: str, tensors: Any, **parameters: Any) -> Message:
        self.sequence += 1
        return llm_request("s", op, {"sequence": self.sequence, **parameters}, tensors)

    def _reply(self, kind: str, words: str, *more: Tensor) -> Message:
        numbers = (Tensor("SEQUENCE", "INT64", (1,), struct.pack("<q", self.sequence)),)
        position = integer_tensor("POSITION", [self.position])
        return response(text_tensor("KIND", kind), text_tensor("TEXT", words), *numbers, position, *more)

    def voice(self, clause: str = "Red.", codes: Pieces = ((1, 2), (3,)), *, is_whole: bool = True) -> None:
        replies = [
            response(integer_tensor("CODES", chunk), integer_tensor("END", [int(is_whole and index == len(codes) - 1)]))
            for index, chunk in enumerate(codes)
        ]
        self.one("speech_decoder", (speak_request(clause, 7),), tuple(replies))

    def decode(self, codes: tuple[int, ...] = (1, 2, 3), sound: bytes = b"samples!") -> None:
        request = decode_request(codes, 0, len(codes))
        self.one("codec_decoder", (request,), (response(Tensor("SOUND", "INT16", (len(sound) // 2,), sound)),))

    def ask(self, **event: Message) -> None:
        self.note(EDGE_CONVERSATION, KIND_REQUEST, wire.ConverseRequest(**event))  # type: ignore[arg-type]

    def say(self, **event: Message) -> None:
        self.note(EDGE_CONVERSATION, KIND_REPLY, wire.ConverseResponse(turn_id="turn_1", **event))  # type: ignore[arg-type]

    def answer(
        self,
        text: Pieces = ("Red", "."),
        sound: Pieces = (b"samp", b"les!"),
        outcome: wire.ResponseOutcome = wire.RESPONSE_OUTCOME_COMPLETED,
        *,
        kept: str = "Red.",
        first_text_ms: int = 100,
    ) -> None:
        self.say(response_started=wire.ResponseStarted(response_id="resp_1", item_id="item_2"))
        for piece in text:
            self.say(text_delta=wire.TextDelta(response_id="resp_1", text=piece))
        for piece in sound:
            audio = AudioChunk(samples=piece, sample_rate_hz=24_000)
            self.say(answer_audio=wire.AnswerAudio(response_id="resp_1", audio=audio))
        item = Item(item_id="item_2", role=ROLE_ASSISTANT, status=ITEM_STATUS_COMPLETED, parts=[ContentPart(text=kept)])
        times = wire.StageTimes(first_text_ms=first_text_ms)
        done = wire.ResponseDone(response_id="resp_1", outcome=outcome, item=item, stage_times=times)
        done.audio_ms = sum(map(len, sound))
        self.say(response_done=done)


def a_turn(**changes: dict[str, Any]) -> list[Record]:
    """A turn through all stages, each as its keyword arguments say."""
    recording = Recording()
    recording.ask(audio=AudioChunk(samples=b"sounding", sample_rate_hz=16_000))
    recording.say(speech_started=wire.SpeechStarted(item_id="item_1", audio_start_ms=100))
    for stage in ("see", "hear", "think", "voice", "decode", "answer"):
        getattr(recording, stage)(**changes.get(stage, {}))
    return recording.records
