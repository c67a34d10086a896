"""Speech encoder: sound in as it comes, embeddings out as they become final; holds state for one utterance."""

from __future__ import annotations

from pathlib import Path

from vita_runtime.triton_model import Call, OpenSessions, Refused, StreamingModel

from vita15.engine.device import use_threads
from vita15.engine.speech_encoder_engine import SpeechEncoderEngine, SpeechEvent


class TritonPythonModel(StreamingModel[SpeechEncoderEngine]):
    def load(self) -> None:
        use_threads(int(self.parameter("threads", "1")))
        self.engine = SpeechEncoderEngine.load(
            Path(self.parameter("weights")),
            max_sessions=int(self.parameter("max_sessions", "32")),
            device=self.parameter("device", "cpu"),
        )
        self.sessions = OpenSessions(self.engine.end)

    def receive(self, call: Call) -> None:
        session_id = call.request.text_parameter("session_id")
        match call.request.op:
            case "open":  # all embeddings of the utterance answer this request
                self.engine.open(self.sessions.open(session_id, call), lambda event: send(call, event))
                return
            case "push":
                samples = call.request.tensor("SAMPLES")
                self.engine.push(self.sessions.key(session_id), samples, lambda event: send(call, event))
            case "finish":
                self.engine.finish(self.sessions.key(session_id), lambda event: send(call, event))
            case "end":
                self.sessions.close(session_id)
            case op:
                raise Refused(f"ERROR_REASON_BAD_INPUT: op: {op!r} is not known")
        self.engine.submit(call.finish)  # after a refusal, if there is one


def send(call: Call, event: SpeechEvent) -> None:
    if event.error:
        call.fail(event.error)
        return
    known = {} if event.finished is None else {"FINISHED": event.finished, "HEARD_MS": event.heard_ms}
    if event.is_last:
        call.finish(EMBEDDINGS=event.embeddings, END=1, **known)
    else:
        call.reply(EMBEDDINGS=event.embeddings, **known)
