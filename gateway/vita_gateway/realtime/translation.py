"""From what a conversation says to what a Realtime client expects, without I/O: one response in, events out."""

from __future__ import annotations

import uuid

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1 import item_pb2
from vita_runtime.errors import ComponentUnavailable

from vita_gateway.media.live_audio import OutputAudio
from vita_gateway.openai_errors import remote_failure
from vita_gateway.realtime import server_events
from vita_gateway.realtime.answer import LiveAnswer
from vita_gateway.realtime.configuration import SessionConfiguration
from vita_gateway.realtime.items import item_json, spoken_item_json
from vita_gateway.realtime.ledger import Asked, Ledger, worded
from vita_gateway.realtime.response_request import Wanted
from vita_gateway.realtime.server_events import REQUEST_KEY, Event

LOST = ComponentUnavailable("the connection to the conversation service was lost; please ask again")


class Translation:
    """The client's view of one conversation."""

    def __init__(self, ledger: Ledger, configuration: SessionConfiguration) -> None:
        self.configuration = configuration
        self.wanted: dict[str, Wanted] = {}  # by the request's number
        self.answers: dict[str, LiveAnswer] = {}  # responses in progress, by id
        self._ledger = ledger
        self._order: list[str] = []  # ids of the items that the client knows, in order
        self._conversation_id = f"conv_{uuid.uuid4().hex}"

    def translate(self, response: wire.ConverseResponse) -> list[Event]:
        """Return the events for one response; none for what the API has no name for."""
        match response.WhichOneof("event"):
            case "text_delta" | "answer_audio" | "tool_called" | "response_started" | "query_judged" | "response_done":
                return self._answering(response)
            case "speech_started" | "speech_stopped" | "audio_committed" | "audio_cleared":
                return self._hearing(response)
            case "item_added" | "item_deleted" | "item_retrieved" | "item_truncated":
                return self._remembering(response)
            case "failure":
                asked = self._ledger.take(response.failure.client_event_id)
                if asked is not None and asked.kind == "response.create":
                    self.wanted.pop(asked.key, None)
                problem = worded(remote_failure(response.failure.status), asked)
                return [server_events.error(problem, asked.event_id if asked else None)]
            case _:  # opened and configured are the session's; output held and session ending have no GA name
                return []

    def lose(self) -> list[Event]:
        """Return the events for a stream that broke: whatever was under way has failed, and its askers are told."""
        problem = worded(LOST, None)
        events = [event for answer in self.answers.values() for event in answer.fail(problem)]
        forgotten = [asked for asked in self._ledger.forget_all() if asked.kind != "session.update"]
        if events and not forgotten:
            forgotten = [Asked("", None, "")]
        self.answers.clear()
        self.wanted.clear()
        return [*events, *(server_events.error(problem, asked.event_id) for asked in forgotten)]

    def _answering(self, response: wire.ConverseResponse) -> list[Event]:
        if response.HasField("response_started"):
            return self._begin(response.response_started)
        kind = response.WhichOneof("event")
        answer = self.answers.get(getattr(response, kind or "").response_id)
        if answer is None:  # stale output of a response that has ended
            return []
        if response.HasField("query_judged"):
            answer.judged = response.query_judged
            return []
        if response.HasField("tool_called"):
            answer.call(response.tool_called.item, self._place_call(answer, response.tool_called))
            return []
        if response.HasField("response_done"):
            del self.answers[answer.response_id]
            return answer.end(response.response_done)
        opening = self._open_item(answer)
        if response.HasField("text_delta"):
            return [*opening, answer.say(response.text_delta.text)]
        return [*opening, *answer.sound(response.answer_audio.audio.samples)]

    def _begin(self, started: wire.ResponseStarted) -> list[Event]:
        request = started.metadata.get(REQUEST_KEY, "")
        self._ledger.settle("response.create", request)
        settings = self.configuration
        by_default = Wanted(settings.is_spoken, settings.max_output_tokens, is_out_of_band=False)
        wanted = self.wanted.pop(request, by_default)
        answer = LiveAnswer(
            response_id=started.response_id,
            item_id=started.item_id,
            metadata=server_events.metadata(started.metadata),
            output=OutputAudio(settings.audio.output.format.type) if wanted.is_spoken else None,
            max_output_tokens=wanted.max_output_tokens,
            conversation_id=None if wanted.is_out_of_band else self._conversation_id,
        )
        self.answers[answer.response_id] = answer
        return [answer.created()]

    def _open_item(self, answer: LiveAnswer) -> list[Event]:
        if answer.is_item_open:
            return []
        previous = self._order[-1] if self._order else None
        if answer.conversation_id is not None:
            self._place(answer.item_id, previous)
        return answer.open_item(previous)

    def _place_call(self, answer: LiveAnswer, called: wire.ToolCalled) -> str | None:
        """Note where a call stands; return the item before it that the client knows."""
        last = self._order[-1] if self._order else None
        previous = called.previous_item_id if called.previous_item_id in self._order else last
        if answer.conversation_id is not None:
            self._place(called.item.item_id, previous)
        return previous

    def _hearing(self, response: wire.ConverseResponse) -> list[Event]:
        if response.HasField("speech_started"):
            began = response.speech_started
            kind = "input_audio_buffer.speech_started"
            return [{"type": kind, "item_id": began.item_id, "audio_start_ms": began.audio_start_ms}]
        if response.HasField("speech_stopped"):
            ended = response.speech_stopped
            kind = "input_audio_buffer.speech_stopped"
            return [{"type": kind, "item_id": ended.item_id, "audio_end_ms": ended.audio_end_ms}]
        if response.HasField("audio_cleared"):
            self._ledger.settle("input_audio_buffer.clear")
            return [{"type": "input_audio_buffer.cleared"}]
        self._ledger.settle("input_audio_buffer.commit")
        item_id, previous = response.audio_committed.item_id, response.audio_committed.previous_item_id or None
        item = spoken_item_json(item_id)
        events: list[Event] = [server_events.committed(item_id, previous)]
        if self._place(item_id, previous):
            events += [server_events.item_added(item, previous), server_events.item_done(item, previous)]
        return events

    def _remembering(self, response: wire.ConverseResponse) -> list[Event]:
        if response.HasField("item_added"):
            return self._add(response.item_added)
        if response.HasField("item_retrieved"):
            item = response.item_retrieved.item
            self._ledger.settle("conversation.item.retrieve", item.item_id)
            return [{"type": "conversation.item.retrieved", "item": item_json(item, is_media_shown=True)}]
        if response.HasField("item_truncated"):
            cut = response.item_truncated
            self._ledger.settle("conversation.item.truncate", cut.item_id)
            where = {"item_id": cut.item_id, "content_index": 0, "audio_end_ms": cut.audio_end_ms}
            return [{"type": "conversation.item.truncated", **where}]
        item_id = response.item_deleted.item_id
        asked = self._ledger.settle("conversation.item.delete", item_id)
        if item_id in self._order:
            self._order.remove(item_id)
        elif asked is None:
            return []  # an answer that was stopped before its item opened
        return [{"type": "conversation.item.deleted", "item_id": item_id}]

    def _add(self, added: wire.ItemAdded) -> list[Event]:
        item, previous = added.item, added.previous_item_id or None
        is_clients = self._ledger.settle("conversation.item.create", item.item_id) is not None
        if not is_clients and any(part.HasField("audio") for part in item.parts):
            return []  # an utterance: clients want to hear that it was committed first, and `audio_committed` tells all
        for answer in self.answers.values():
            if answer.item_id == item.item_id:
                # An answer's item opens with its first word: until then it may turn out to have none.
                return []
        if not self._place(item.item_id, previous):
            return []
        shown = item_json(item)
        opening = {**shown, "status": "in_progress"} if item.role == item_pb2.ROLE_ASSISTANT else shown
        return [server_events.item_added(opening, previous), server_events.item_done(shown, previous)]

    def _place(self, item_id: str, previous: str | None) -> bool:
        """Note where an item stands; tell whether it is new to the client."""
        if item_id in self._order:
            return False
        position = self._order.index(previous) + 1 if previous in self._order else (len(self._order) if previous else 0)
        self._order.insert(position, item_id)
        return True
