"""Language model: text and embeddings in, text out; holds one context a session (docs/components.md)."""

from __future__ import annotations

from pathlib import Path

from vita_runtime.triton_model import Call, OpenSessions, StreamingModel

from vita15.engine.device import use_threads
from vita15.engine.text_engine import TextEngine
from vita15.engine.text_protocol import Kind, TextEvent
from vita15.engine.text_wire import operation


class TritonPythonModel(StreamingModel[TextEngine]):
    def load(self) -> None:
        use_threads(int(self.parameter("threads", "1")))
        self.engine = TextEngine.load(
            Path(self.parameter("weights")),
            max_sessions=int(self.parameter("max_sessions", "32")),
            max_context=int(self.parameter("max_context", "0")),
            device=self.parameter("device", "cpu"),
        )
        self.sessions = OpenSessions(self.engine.end)

    def receive(self, call: Call) -> None:
        session_id = call.request.text_parameter("session_id")
        call.values_to_echo["SEQUENCE"] = call.request.integer("sequence", 0)
        match call.request.op:
            case "open":
                self.engine.open(self.sessions.open(session_id, call), lambda event: send(call, event))
            case "stop":
                self.engine.cancel(self.sessions.key(session_id))
                call.finish()
            case "end":
                self.sessions.close(session_id)
                call.finish()
            case _:
                key = self.sessions.key(session_id)
                self.engine.ask(key, operation(call.request), lambda event: send(call, event))

    def pong(self, call: Call) -> None:
        call.finish(KIND="pong", OP_REPLY="pong")

    def refuse(self, call: Call, message: str) -> None:
        call.finish(KIND="error", TEXT=message)  # the stream goes on


def send(call: Call, event: TextEvent) -> None:
    scores = {} if event.scores is None else {"SCORES": event.scores}
    is_last = event.is_last and event.kind is not Kind.OPENED  # the opening lasts as long as the session
    answer = call.finish if is_last else call.reply
    answer(KIND=event.kind.value, POSITION=event.position, COUNT=event.count, TEXT=event.text, **scores)
