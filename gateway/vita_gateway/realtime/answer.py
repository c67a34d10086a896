"""One response, from `response.created` to `response.done`, in the order that stock clients depend on.

created → [output_item.added → conversation.item.added → content_part.added → deltas … → audio.done → transcript.done →
content_part.done → conversation.item.done → output_item.done] → calls → done. The bracket opens with the first word or
sound and is always closed, also when the answer is cut; an answer that never said anything has none. Each call of a
tool is [output_item.added → conversation.item.added → arguments.delta → arguments.done → conversation.item.done →
output_item.done], behind the last sound: stock clients follow a call at once, and ask on, which nobody may while an
answer is in progress.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import item_pb2

from vita_gateway.media.live_audio import OutputAudio
from vita_gateway.observe import FIRST_AUDIO_SECONDS, RESPONSES
from vita_gateway.openai_errors import ApiError, api_error, remote_failure
from vita_gateway.realtime import server_events
from vita_gateway.realtime.configuration import VOICE
from vita_gateway.realtime.items import answer_item_json, item_json
from vita_gateway.realtime.server_events import Event

# outcome → status, reason; the reasons are a closed list for strict clients.
ENDINGS = {
    wire.RESPONSE_OUTCOME_COMPLETED: ("completed", None),
    wire.RESPONSE_OUTCOME_IGNORED: ("completed", None),  # judged to be noise: an answer with nothing in it
    wire.RESPONSE_OUTCOME_INTERRUPTED: ("cancelled", "turn_detected"),
    wire.RESPONSE_OUTCOME_CANCELLED: ("cancelled", "client_cancelled"),
    wire.RESPONSE_OUTCOME_LENGTH: ("incomplete", "max_output_tokens"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool."""

    item: Event
    previous_item_id: str | None


@dataclass(slots=True)
class LiveAnswer:
    """A response that has begun."""

    response_id: str
    item_id: str
    metadata: dict[str, str] | None
    output: OutputAudio | None  # None: it is not spoken
    max_output_tokens: int | str
    conversation_id: str | None  # None: out of band
    words: list[str] = field(default_factory=list[str])
    judged: wire.QueryJudged | None = None
    previous_item_id: str | None = None
    is_item_open: bool = False
    calls: list[Call] = field(default_factory=list[Call])
    has_sound: bool = False
    started_s: float = field(default_factory=time.monotonic)

    @property
    def is_spoken(self) -> bool:
        """Whether it has sound."""
        return self.output is not None

    def created(self) -> Event:
        """Return `response.created`."""
        return {"type": "response.created", "response": self._response("in_progress")}

    def open_item(self, previous_item_id: str | None) -> list[Event]:
        """Return the events that open its item; none when it is open."""
        if self.is_item_open:
            return []
        self.is_item_open = True
        self.previous_item_id = previous_item_id
        item = answer_item_json(self.item_id, "in_progress", None, is_spoken=self.is_spoken)
        part = {"type": "audio", "transcript": ""} if self.is_spoken else {"type": "text", "text": ""}
        added: list[Event] = [
            {
                "type": "response.output_item.added",
                "response_id": self.response_id,
                "output_index": 0,
                "item": item,
            }
        ]
        if self.conversation_id is not None:
            added.append(server_events.item_added(item, previous_item_id))
        return [*added, self._of("response.content_part.added", part=part)]

    def say(self, text: str) -> Event:
        """Return the delta for more words."""
        self.words.append(text)
        kind = "response.output_audio_transcript.delta" if self.is_spoken else "response.output_text.delta"
        return self._of(kind, delta=text)

    def sound(self, pcm: bytes, *, is_last: bool = False) -> list[Event]:
        """Return the delta for more sound, 24 kHz; none while the resampler keeps it back."""
        if self.output is None:
            return []
        if not self.has_sound:
            self.has_sound = True
            FIRST_AUDIO_SECONDS.labels("realtime").observe(time.monotonic() - self.started_s)
        content = self.output.push(pcm, is_last=is_last)
        return [self._of("response.output_audio.delta", delta=base64.b64encode(content).decode())] if content else []

    def call(self, item: item_pb2.Item, previous_item_id: str | None) -> None:
        """Take a call of a tool, to be told when the words are out."""
        self.calls.append(Call(item_json(item), previous_item_id))

    def end(self, done: wire.ResponseDone) -> list[Event]:
        """Return the events that close it as the conversation says."""
        if done.outcome == wire.RESPONSE_OUTCOME_FAILED or done.outcome not in ENDINGS:
            error = api_error(remote_failure(done.failure))
            return self._close("failed", None, error, done)
        status, reason = ENDINGS[done.outcome]
        return self._close(status, reason, None, done)

    def fail(self, error: ApiError) -> list[Event]:
        """Return the events that close it because the way to the conversation broke; its calls are not told."""
        self.calls.clear()
        return self._close("failed", None, error, None)

    def _close(
        self, status: str, reason: str | None, error: ApiError | None, done: wire.ResponseDone | None
    ) -> list[Event]:
        RESPONSES.labels("realtime", status).inc()
        kept = [part.text for part in done.item.parts if part.HasField("text")] if done else []
        text = "".join(kept if done else self.words)
        item = answer_item_json(
            self.item_id, "completed" if status == "completed" else "incomplete", text, is_spoken=self.is_spoken
        )
        response = self._response(status)
        response["output"] = [*([item] if self.is_item_open else []), *(call.item for call in self.calls)]
        if status != "completed":
            response["status_details"] = _details(status, reason, error)
        if done is not None:
            response["usage"] = server_events.usage(done.usage)
            response["vita"] = server_events.measurements(done, self.judged)
        closing = self._close_item(item) if self.is_item_open else []
        calls = [event for index, call in enumerate(self.calls, self.is_item_open) for event in self._tell(index, call)]
        return [*closing, *calls, {"type": "response.done", "response": response}]

    def _tell(self, index: int, call: Call) -> list[Event]:
        """Return the events of a call, the response's item `index`."""
        of_response: Event = {"response_id": self.response_id, "output_index": index}
        item, arguments = call.item, call.item["arguments"]
        opening: Event = {**item, "status": "in_progress", "arguments": ""}
        of_call = {**of_response, "item_id": item["id"], "call_id": item["call_id"]}
        is_kept = self.conversation_id is not None
        named = {"arguments": arguments, "name": item["name"]}
        return [
            {"type": "response.output_item.added", **of_response, "item": opening},
            *([server_events.item_added(opening, call.previous_item_id)] if is_kept else []),
            {"type": "response.function_call_arguments.delta", **of_call, "delta": arguments},
            {"type": "response.function_call_arguments.done", **of_call, **named},
            *([server_events.item_done(item, call.previous_item_id)] if is_kept else []),
            {"type": "response.output_item.done", **of_response, "item": item},
        ]

    def _close_item(self, item: Event) -> list[Event]:
        said = "".join(self.words)
        events: list[Event] = []
        if self.is_spoken:
            events += self.sound(b"", is_last=True) if self.has_sound else []
            events.append(self._of("response.output_audio.done"))
            events.append(self._of("response.output_audio_transcript.done", transcript=said))
            part: Event = {"type": "audio", "transcript": said}
        else:
            events.append(self._of("response.output_text.done", text=said))
            part = {"type": "text", "text": said}
        events.append(self._of("response.content_part.done", part=part))
        if self.conversation_id is not None:
            events.append(server_events.item_done(item, self.previous_item_id))
        events.append(
            {"type": "response.output_item.done", "response_id": self.response_id, "output_index": 0, "item": item}
        )
        return events

    def _of(self, kind: str, **fields: object) -> Event:
        place = {"response_id": self.response_id, "item_id": self.item_id, "output_index": 0, "content_index": 0}
        return {"type": kind, **place, **fields}

    def _response(self, status: str) -> Event:
        response: Event = {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": None,
            "output": [],
            "conversation_id": self.conversation_id,
            "output_modalities": ["audio"] if self.is_spoken else ["text"],
            "max_output_tokens": self.max_output_tokens,
            "usage": None,
            "metadata": self.metadata,
        }
        if self.output is not None:
            rate = {"rate": 24_000} if self.output.format == "audio/pcm" else {}
            audio_format = {"type": self.output.format.value, **rate}
            response["audio"] = {"output": {"format": audio_format, "voice": VOICE}}
        return response


def _details(status: str, reason: str | None, error: ApiError | None) -> Event:
    details: Event = {"type": status}
    if reason is not None:
        details["reason"] = reason
    if error is not None:
        details["error"] = {"type": error.type, "code": error.code, "message": error.message}
    return details
