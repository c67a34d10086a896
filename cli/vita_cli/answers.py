"""What comes in from a Realtime server, and what becomes of it: answers, with the times of their parts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import cast

RATE_HZ = 24_000
BYTES_PER_MS = RATE_HZ // 1000 * 2

Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class Received:
    """An event, and when it came."""

    kind: str
    event: Event
    at_s: float


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that an answer asks for."""

    call_id: str
    name: str
    arguments: str  # a JSON object


@dataclass(slots=True)
class Answer:
    """One response as it came in."""

    response_id: str
    created_s: float
    text: str = ""
    calls: list[Call] = field(default_factory=list[Call])
    sound: bytearray = field(default_factory=bytearray)  # 24 kHz, 16 bits
    arrivals: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])  # when, ms of sound
    first_text_s: float | None = None
    first_audio_s: float | None = None
    last_audio_s: float | None = None
    done_s: float | None = None
    status: str = "in_progress"
    reason: str = ""
    problem: str = ""  # what failed, in the server's words
    measured: Event = field(default_factory=dict[str, object])  # the server's own times

    @property
    def is_done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.done_s is not None

    @property
    def audio_ms(self) -> int:
        """Length of its sound."""
        return len(self.sound) // BYTES_PER_MS

    def take(self, received: Received) -> None:
        """Add what an event brings to it."""
        delta = str(received.event.get("delta", ""))
        if received.kind in ("response.output_audio_transcript.delta", "response.output_text.delta"):
            self.text += delta
            self.first_text_s = self.first_text_s or received.at_s
        elif received.kind == "response.output_audio.delta":
            samples = base64.b64decode(delta)
            self.sound += samples
            self.arrivals.append((received.at_s, len(samples) // BYTES_PER_MS))
            self.first_audio_s = self.first_audio_s or received.at_s
            self.last_audio_s = received.at_s
        elif received.kind == "response.function_call_arguments.done":
            self.calls.append(Call(*(str(received.event[key]) for key in ("call_id", "name", "arguments"))))
        elif received.kind == "response.done":
            self._finish(part(received.event, "response"), received.at_s)

    def _finish(self, response: Event, at_s: float) -> None:
        details = part(response, "status_details")
        self.done_s = at_s
        self.status = str(response.get("status"))
        self.reason = str(details.get("reason", ""))
        self.problem = str(part(details, "error").get("message", ""))
        self.measured = part(response, "vita")


def part(event: Event, key: str) -> Event:
    """Return the object under a key, or an empty one."""
    value = event.get(key)
    return cast("Event", value) if isinstance(value, dict) else {}
