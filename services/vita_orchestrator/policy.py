"""What a conversation allows and how it behaves, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from vita_orchestrator.endpointing import HOLD_LIMIT_MS


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and times; each has a reason."""

    lead_ms: int = 2000  # sound sent ahead of playback: bridges a stall of a component, is wasted by an interruption
    hold_limit_ms: int = HOLD_LIMIT_MS  # by the wall clock, in case the microphone stalls within a hold
    max_chunk_ms: int = 100  # of microphone audio a message: the wire's contract
    max_utterance_ms: int = 120_000  # the speech encoder's positions end at 200 s
    max_picture_bytes: int = 8 * 2**20  # as much as a whole record may hold
    max_text_bytes: int = 64 * 2**10  # twice what the full-size context holds
    max_words_bytes: int = 7 * 2**20  # of all items; a record holds 8 MiB, and one longest answer is a few KB
    max_tool_count: int = 64  # more than a model of this size can choose among
    max_tools_bytes: int = 32 * 2**10  # of all schemas: a quarter of the full-size context at 4 bytes a token
    max_tool_result_bytes: int = 16 * 2**10  # of one result, or of a call's arguments; several must fit beside them
    max_tool_call_count: int = 8  # of one answer
    max_item_count: int = 1000  # a record stays readable in one go
    max_waiting_pictures: int = 4  # camera frames between turns: older ones are outdated
    max_output_tokens: int = 512
    tile_count: int = (
        1  # of a picture whose sender says nothing: real-time use sees it whole, shrunk (docs/model.md, 1.4)
    )
    answer_sample_rate_hz: int = 24_000
    max_audio_ms: int = 200  # of sound a message
    client_stall_s: float = 10.0  # a client that reads nothing for so long is gone
