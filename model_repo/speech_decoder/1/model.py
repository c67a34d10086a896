"""Speech decoder: a clause of text in, codec tokens out in growing chunks; any replica can speak any clause."""

from __future__ import annotations

from pathlib import Path

from vita_runtime.triton_model import Call, StreamingModel

from vita15.engine.device import use_threads
from vita15.engine.speech_engine import Clause, CodesEvent, SpeechEngine, SpeechLimits


class TritonPythonModel(StreamingModel[SpeechEngine]):
    def load(self) -> None:
        use_threads(int(self.parameter("threads", "1")))
        chunks = tuple(int(size) for size in self.parameter("chunk_codes", "10,20,40").split(","))
        limits = SpeechLimits(int(self.parameter("max_clauses", "32")), chunks)
        weights = Path(self.parameter("weights"))
        self.engine = SpeechEngine.load(weights, limits, self.parameter("device", "cpu"))

    def receive(self, call: Call) -> None:
        text, seed = call.request.text("TEXT"), call.request.integer("seed", 0)
        clause = Clause(text, seed, lambda event: send(call, event))
        call.watch(lambda: self.engine.cancel(clause))
        self.engine.speak(clause)


def send(call: Call, event: CodesEvent) -> None:
    if event.error:
        call.fail(event.error)
    elif event.is_last:
        call.finish(CODES=event.codes, END=1)
    else:
        call.reply(CODES=event.codes)
