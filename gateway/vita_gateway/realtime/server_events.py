"""The events that a Realtime server sends, field by field; each gets its `event_id` when it is sent."""

from __future__ import annotations

from collections.abc import Mapping

from vita.conversation.v1 import conversation_service_pb2 as wire

from vita_gateway.openai_errors import ApiError

Event = dict[str, object]


def error(problem: ApiError, event_id: str | None) -> Event:
    """An error; the session goes on."""
    optional = {"code": problem.code, "param": problem.param, "event_id": event_id}
    body = {"type": problem.type, "message": problem.message}
    return {"type": "error", "error": {**body, **{key: value for key, value in optional.items() if value is not None}}}


def item_added(item: Event, previous_item_id: str | None) -> Event:
    """An item joined; `previous_item_id` null means the front, and clients order by it."""
    return {"type": "conversation.item.added", "previous_item_id": previous_item_id, "item": item}


def item_done(item: Event, previous_item_id: str | None) -> Event:
    """An item is whole."""
    return {"type": "conversation.item.done", "previous_item_id": previous_item_id, "item": item}


def committed(item_id: str, previous_item_id: str | None) -> Event:
    """An utterance became an item."""
    return {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": previous_item_id}


def usage(used: wire.Usage) -> Event:
    """What a response took."""
    read = used.input_text_token_count + used.input_audio_token_count + used.input_image_token_count
    written = used.output_text_token_count + used.output_audio_token_count
    return {
        "total_tokens": read + written,
        "input_tokens": read,
        "output_tokens": written,
        "input_token_details": {
            "text_tokens": used.input_text_token_count,
            "audio_tokens": used.input_audio_token_count,
            "image_tokens": used.input_image_token_count,
            "cached_tokens": 0,
        },
        "output_token_details": {
            "text_tokens": used.output_text_token_count,
            "audio_tokens": used.output_audio_token_count,
        },
    }


def measurements(done: wire.ResponseDone, judged: wire.QueryJudged | None) -> Event:
    """Our own addition to a response: how it went, and when its stages gave their first output, in ms."""
    times = done.stage_times
    names = ("first_text_ms", "first_code_ms", "first_audio_ms", "last_audio_ms")
    measured: Event = {name: getattr(times, name) for name in names if times.HasField(name)}
    measured["audio_ms"] = done.audio_ms
    measured["outcome"] = wire.ResponseOutcome.Name(done.outcome).removeprefix("RESPONSE_OUTCOME_").lower()
    if judged is not None:
        measured["query_state"] = wire.QueryState.Name(judged.state).removeprefix("QUERY_STATE_").lower()
        measured["query_probabilities"] = {
            "speech": round(judged.speech_probability, 4),
            "text": round(judged.text_probability, 4),
            "noise": round(judged.noise_probability, 4),
        }
    return measured


def metadata(given: Mapping[str, str]) -> dict[str, str] | None:
    """A response's metadata as the client gave it; null where there were none."""
    shown = {key: value for key, value in given.items() if key != REQUEST_KEY}
    return shown or None


# Sent along with a response's metadata and echoed with it: tells which request a response belongs to.
REQUEST_KEY = "vita.gateway.request"
