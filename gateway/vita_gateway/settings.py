"""The gateway's settings; each is the variable `VITA_GATEWAY_<NAME>`."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the gateway listens on, whom it lets in, and how much it takes from one client."""

    orchestrator_address: str  # host:port
    listen: str = "127.0.0.1:8080"
    api_key: str | None = None  # unset: no key is asked for, which is meant for loopback only
    # Names that a request may call us by: another name means that a page elsewhere had its DNS turned to us. "*": any.
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    allowed_origins: tuple[str, ...] = ()  # web pages of other origins that may call us; our own always may
    model: str = "vita"  # the name in /v1/models; any name is accepted in requests

    max_body_bytes: int = 32 * MIB  # a chat completion, and a WebSocket message: 15 MiB of audio as base64
    max_audio_s: float = 30.0  # one recorded question, or one utterance committed by hand
    max_image_bytes: int = 8 * MIB  # compressed; as much as the orchestrator takes
    max_image_pixels: int = 25_000_000  # decoded: 75 MB
    max_text_bytes: int = 65_536  # one message or the instructions; far more than the context holds
    max_messages: int = 256  # of one chat completion
    max_sessions: int = 256  # realtime sessions of this process; further ones are refused at the door

    connect_s: float = 5.0  # until the orchestrator has opened a conversation
    resume_s: float = 20.0  # how long a realtime session tries to get its conversation back; a restart takes 1-10 s
    answer_s: float = 120.0  # one chat completion, whole
    slow_reader_s: float = 15.0  # a client that has not read an event for so long is closed
    session_s: float = 3600.0  # a realtime session, whole
    drain_s: float = 5.0  # how long answers may take to finish at shutdown
