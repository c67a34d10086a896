"""What every model in Triton's Python backend needs, so that a `model.py` only turns tensors into calls and back.

Two bases. `TritonModel`: one answer a request, computed in `execute`. `StreamingModel`: `execute` hands each request to
an engine's thread and returns; answers come when the engine has them, any number of them.

All that a streaming model tells Triton goes through one thread, `triton_courier.Courier`.
"""

from __future__ import annotations

import gc
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vita_runtime import logging as vita_logging
from vita_runtime.triton_courier import Call, Courier, Statistics
from vita_runtime.triton_request import Foreign, Refused, Request, Value, triton

logger = logging.getLogger(__name__)

DTYPES: dict[str, Any] = {
    "TYPE_INT32": np.int32, "TYPE_INT64": np.int64, "TYPE_INT16": np.int16, "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32, "TYPE_STRING": np.object_,
}  # fmt: skip


class Engine(Protocol):
    """A thread that does a component's work."""

    @property
    def statistics(self) -> Statistics: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def ping(self, answer: Callable[[], None]) -> None: ...


EngineT = TypeVar("EngineT", bound=Engine)


class _Base(ABC):
    """Parameters, outputs and errors of a model."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Triton's call: build the engine."""
        config = json.loads(args["model_config"])
        self._parameters = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
        self._outputs = {o["name"]: DTYPES[o["data_type"]] for o in config["output"]}
        self.name: str = args["model_name"]
        vita_logging.configure(self.name)
        self.load()
        gc.collect()
        gc.freeze()  # weights and code live as long as the process: the collector need not look at them again

    @abstractmethod
    def load(self) -> None:
        """Build what answers requests."""

    def parameter(self, name: str, default: str | None = None) -> str:
        """Return a parameter of the model's configuration.

        Raises:
            ValueError: it is missing and has no default.
        """
        value = self._parameters.get(name, default)
        if value is None:
            raise ValueError(f"{self.name}: parameter {name!r} is missing in config.pbtxt")
        return value

    def response(self, values: Mapping[str, Value]) -> Foreign:
        """Make Triton's response of output values."""
        pb = triton()
        return pb.InferenceResponse([pb.Tensor(name, self._array(name, value)) for name, value in values.items()])

    def error(self, message: str) -> Foreign:
        """Make Triton's response of an error message."""
        pb = triton()
        return pb.InferenceResponse(error=pb.TritonError(message))

    def _array(self, name: str, value: Value) -> NDArray[Any]:
        if isinstance(value, str):
            value = [value.encode()]
        array = np.asarray(value, dtype=self._outputs[name])
        return array.reshape(1) if array.ndim == 0 else array


class TritonModel(_Base):
    """A model that answers each request once, in `execute`."""

    @abstractmethod
    def reply(self, batch: Sequence[Request]) -> list[Mapping[str, Value] | Exception]:
        """Answer requests; an exception in the list refuses its request alone."""

    def execute(self, requests: Sequence[Foreign]) -> list[Foreign]:
        """Triton's call: answer requests."""
        answers: dict[int, Foreign] = {}
        batch: list[tuple[int, Request]] = []
        for index, request in enumerate(requests):
            asked = Request(request)
            if asked.op == "ping":
                answers[index] = self.response({"OP_REPLY": "pong"})
            else:
                batch.append((index, asked))
        if batch:
            indices, asked_for = zip(*batch, strict=True)
            answers.update(zip(indices, self._replies(asked_for), strict=True))
        return [answers[index] for index in range(len(requests))]

    def _replies(self, batch: Sequence[Request]) -> list[Foreign]:
        try:
            replies = self.reply(batch)
        except Exception as error:  # translated, and logged unless expected
            replies = [error] * len(batch)
        return [self.error(_message(r)) if isinstance(r, Exception) else self.response(r) for r in replies]


class StreamingModel(_Base, Generic[EngineT]):
    """A model whose engine answers when it can."""

    engine: EngineT

    def initialize(self, args: Mapping[str, str]) -> None:
        """Triton's call: build and start the engine."""
        super().initialize(args)
        self._courier = Courier(self, self.engine.statistics)
        self._courier.start()
        self.engine.start()

    @abstractmethod
    def receive(self, call: Call) -> None:
        """Hand a request to the engine; `Refused`, and errors of the engine that have a `reason`, are answered."""

    def pong(self, call: Call) -> None:
        """Answer a ping."""
        call.finish(OP_REPLY="pong")

    def refuse(self, call: Call, message: str) -> None:
        """Answer a request that cannot be served."""
        call.fail(message)

    def execute(self, requests: Sequence[Foreign]) -> None:
        """Triton's call: take requests in."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._take(request, sender)
            except Exception:  # not even a Call came of it
                logger.exception("request could not be read")
                sender.send(self.error("ERROR_REASON_INTERNAL"), flags=triton().TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finalize(self) -> None:
        """Triton's call: end the threads; they are daemons, so one that hangs does not keep the process."""
        self.engine.stop()
        self._courier.stop()

    def _take(self, request: Foreign, sender: Foreign) -> None:
        call = Call(Request(request), sender, self._courier, time.monotonic())
        try:
            if call.request.op == "ping":
                self.engine.ping(lambda: self.pong(call))
            else:
                self.receive(call)
        except Exception as error:  # translated, and logged unless expected
            self.refuse(call, _message(error))
        call.taken_s = time.monotonic()


class OpenSessions:
    """Which session of the engine a client's session id means: the one opened last under it.

    A stream that was cut may be noticed after its client has opened the session anew; each opening therefore has a key
    of its own, so that the end of the old one does not end the new one.
    """

    def __init__(self, end: Callable[[str], None]) -> None:
        self._end = end
        self._calls: dict[str, tuple[str, Call]] = {}
        self._opened = 0

    def open(self, session_id: str, call: Call) -> str:
        """Return the key of a new session that lives as long as `call`; an earlier one of this id ends."""
        self.close(session_id)
        self._calls = {name: entry for name, entry in self._calls.items() if not entry[1].is_over}
        self._opened += 1
        key = f"{session_id}/{self._opened}"
        self._calls[session_id] = (key, call)
        call.watch(lambda: self._end(key))
        return key

    def key(self, session_id: str) -> str:
        """Return the key in use; one that the engine does not know if there is none."""
        return self._calls[session_id][0] if session_id in self._calls else session_id

    def close(self, session_id: str) -> None:
        """End a session, if there is one."""
        key, call = self._calls.pop(session_id, ("", None))
        if call is not None:
            self._end(key)
            call.finish()


def _message(error: Exception) -> str:
    """Put an error in the wire's words; what was not expected is logged and does not get out."""
    reason = "" if isinstance(error, Refused) else str(getattr(error, "reason", ""))
    if isinstance(error, Refused) or (reason and str(error).startswith(reason)):
        return str(error)
    if reason:
        return f"{reason}: {error}"
    logger.error("request failed", exc_info=error)
    return f"ERROR_REASON_INTERNAL: {type(error).__name__}"
