"""Laws of the plumbing between Triton and an engine, against a stand-in for Triton's module."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from vita_runtime import logging as vita_logging
from vita_runtime.triton_courier import EARLIEST_FINAL_S
from vita_runtime.triton_model import Call, OpenSessions, Refused, Request, StreamingModel, TritonModel, Value

from vita15.engine.errors import AtCapacity, BadRequest
from vita15.engine.worker import Worker

pytestmark = pytest.mark.unit

FINAL = 1


class FakeTensor:
    def __init__(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self._name, self.array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray[Any, Any]:
        return self.array


@dataclass
class FakeResponse:
    tensors: Sequence[FakeTensor] = ()
    error: str | None = None

    @property
    def values(self) -> dict[str, list[Any]]:
        return {tensor.name(): tensor.array.tolist() for tensor in self.tensors}


@dataclass
class FakeSender:
    sent: list[tuple[float, FakeResponse | None, int]] = field(default_factory=list)
    is_gone: bool = False
    thread_names: set[str] = field(default_factory=set)

    def send(self, response: FakeResponse | None = None, flags: int = 0) -> None:
        assert not self.is_over, "sent after FINAL"
        self.thread_names.add(threading.current_thread().name)
        self.sent.append((time.monotonic(), response, flags))

    def is_cancelled(self) -> bool:
        self.thread_names.add(threading.current_thread().name)
        return self.is_gone

    @property
    def is_over(self) -> bool:
        return any(flags & FINAL for _, _, flags in self.sent)

    @property
    def responses(self) -> list[FakeResponse]:
        return [response for _, response, _ in self.sent if response is not None]


class FakeRequest:
    def __init__(self, parameters: Mapping[str, Any] | None = None, **tensors: Any) -> None:
        self._parameters = parameters or {}
        self._tensors = [FakeTensor(name, np.asarray(value)) for name, value in tensors.items()]
        self.sender = FakeSender()

    def parameters(self) -> str:
        return json.dumps(self._parameters)

    def inputs(self) -> list[FakeTensor]:
        return self._tensors

    def get_response_sender(self) -> FakeSender:
        return self.sender


class FakeMetric:
    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: FakeMetric()


class FakeMetricFamily(FakeMetric):
    COUNTER = GAUGE = HISTOGRAM = 0

    def __init__(self, **_: Any) -> None: ...


@pytest.fixture(autouse=True)
def _triton(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("triton_python_backend_utils")
    module.Tensor = FakeTensor  # type: ignore[attr-defined]
    module.TritonError = str  # type: ignore[attr-defined]
    module.InferenceResponse = lambda tensors=(), error=None: FakeResponse(tensors, error)  # type: ignore[attr-defined]
    module.MetricFamily = FakeMetricFamily  # type: ignore[attr-defined]
    module.TRITONSERVER_RESPONSE_COMPLETE_FINAL = FINAL  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    monkeypatch.setattr(vita_logging, "configure", lambda service: None)


class EchoEngine(Worker):
    """Does nothing but what it is asked by task."""

    def has_work(self) -> bool:
        return False

    def step(self) -> int:
        return 0

    def abandon(self, error: Exception) -> None:
        raise error


class EchoModel(StreamingModel[EchoEngine]):
    """Answers by `op`: the ways in which a request can end."""

    def load(self) -> None:
        self.engine = EchoEngine("echo")
        self.gone: list[Call] = []

    def receive(self, call: Call) -> None:
        match call.request.op:
            case "count":
                for number in range(call.request.scalar("N")):
                    self.engine.submit(lambda number=number: call.reply(OUT=number))
                self.engine.submit(call.finish)
            case "refuse":
                raise Refused("ERROR_REASON_BAD_INPUT: no")
            case "engine_refuses":
                raise BadRequest("no")
            case "fail":
                raise ZeroDivisionError
            case "unsendable":
                call.finish(NO_SUCH_OUTPUT=1)
            case "hold":
                call.watch(lambda: self.gone.append(call))
            case op:
                call.finish(OUT=len(op))


def configuration(**parameters: str) -> dict[str, str]:
    outputs = [{"name": "OUT", "data_type": "TYPE_INT32"}, {"name": "OP_REPLY", "data_type": "TYPE_STRING"}]
    entries = {name: {"string_value": value} for name, value in parameters.items()}
    return {"model_name": "echo", "model_config": json.dumps({"output": outputs, "parameters": entries})}


@pytest.fixture
def model() -> Iterator[EchoModel]:
    model = EchoModel()
    model.initialize(configuration())
    yield model
    model.finalize()


def ask(model: EchoModel, request: FakeRequest, *, until_over: bool = True) -> FakeSender:
    model.execute([request])
    give_up = time.monotonic() + 5
    while until_over and not request.sender.is_over:
        assert time.monotonic() < give_up, "no FINAL"
        time.sleep(0.005)
    return request.sender


def test_answers_come_in_order_then_final(model: EchoModel) -> None:
    sender = ask(model, FakeRequest({"op": "count"}, N=[4]))
    assert [response.values for response in sender.responses] == [{"OUT": [number]} for number in range(4)]


@pytest.mark.parametrize("op", ["count", "refuse", "engine_refuses", "fail", "ping", "other"])
def test_final_comes_on_every_path_once_and_not_too_early(model: EchoModel, op: str) -> None:
    started = time.monotonic()
    sender = ask(model, FakeRequest({"op": op}, N=[2]))
    time.sleep(0.05)
    finals = [at for at, _, flags in sender.sent if flags & FINAL]
    assert len(finals) == 1
    assert finals[0] - started >= EARLIEST_FINAL_S
    assert sender.thread_names == {"courier"}


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("refuse", "ERROR_REASON_BAD_INPUT: no"),
        ("engine_refuses", "ERROR_REASON_BAD_INPUT: no"),
        ("fail", "ERROR_REASON_INTERNAL: ZeroDivisionError"),
    ],
)
def test_a_failure_is_told_in_the_wires_words(model: EchoModel, op: str, message: str) -> None:
    assert [response.error for response in ask(model, FakeRequest({"op": op})).responses] == [message]


def test_an_unreadable_request_is_answered(model: EchoModel) -> None:
    request = FakeRequest({"op": "count"})
    request.parameters = lambda: "not json"  # type: ignore[method-assign]
    assert ask(model, request).responses[0].error == "ERROR_REASON_INTERNAL"


def test_a_client_that_goes_is_noticed_at_once_and_released(model: EchoModel) -> None:
    sender = ask(model, FakeRequest({"op": "hold"}), until_over=False)
    time.sleep(0.1)
    assert model.gone == []
    sender.is_gone = True
    left = time.monotonic()
    while not sender.is_over and time.monotonic() < left + 2:
        time.sleep(0.005)
    assert len(model.gone) == 1
    assert time.monotonic() - left < 0.5, "100 ms, but for a busy machine"
    model.gone[0].reply(OUT=1)  # an engine that has not heard of it yet
    time.sleep(0.1)
    assert len(sender.responses) == 0


def test_what_a_client_held_is_released_although_the_engine_could_not_take_the_task_at_first(model: EchoModel) -> None:
    refusals = 3
    released: list[float] = []

    def release() -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise AtCapacity("8192 requests are waiting")
        released.append(time.monotonic())

    requests = [FakeRequest() for _ in range(2)]
    for request, on_gone in zip(requests, (lambda: 1 / 0, release), strict=True):
        Call(Request(request), request.sender, model._courier, time.monotonic()).watch(on_gone)
        request.sender.is_gone = True
    give_up = time.monotonic() + 5
    while not released and time.monotonic() < give_up:
        time.sleep(0.005)
    time.sleep(0.2)
    assert len(released) == 1, "once, when it was accepted"
    assert all(request.sender.is_over for request in requests)
    assert model._courier._releases == []


def test_an_answer_that_cannot_be_sent_does_not_cost_the_final_flag(
    model: EchoModel, caplog: pytest.LogCaptureFixture
) -> None:
    sender = ask(model, FakeRequest({"op": "unsendable"}))
    assert sender.responses == []
    assert "answer was lost" in caplog.text


def test_finalize_returns_soon_also_with_a_request_open(model: EchoModel) -> None:
    ask(model, FakeRequest({"op": "hold"}), until_over=False)
    started = time.monotonic()
    model.finalize()
    assert time.monotonic() - started < 2.5


def test_a_session_opened_again_is_not_ended_with_the_old_stream(model: EchoModel) -> None:
    ended: list[str] = []
    sessions = OpenSessions(ended.append)
    calls = [_open_call(model) for _ in range(2)]
    old, new = [sessions.open("s", call) for call in calls]
    assert ended == [old]
    assert sessions.key("s") == new != old
    gone = calls[0].on_gone
    assert gone is not None
    gone()
    assert new not in ended
    sessions.close("s")
    assert ended[-1] == new


def _open_call(model: EchoModel) -> Call:
    request = FakeRequest()
    return Call(Request(request), request.sender, model._courier, time.monotonic())


class Doubler(TritonModel):
    """A unary model."""

    def load(self) -> None:
        self.factor = int(self.parameter("factor"))

    def reply(self, batch: Sequence[Request]) -> list[Mapping[str, Value] | Exception]:
        return [{"OUT": r.tensor("N") * self.factor} if r.scalar("N") else BadRequest("zero") for r in batch]


def test_a_unary_model_answers_each_request_and_refuses_one_alone() -> None:
    model = Doubler()
    model.initialize(configuration(factor="2"))
    answers = model.execute([FakeRequest(N=[3]), FakeRequest({"op": "ping"}), FakeRequest(N=[0]), FakeRequest(N=[5])])
    assert [answer.values for answer in answers] == [{"OUT": [6]}, {"OP_REPLY": [b"pong"]}, {}, {"OUT": [10]}]
    assert [answer.error for answer in answers] == [None, None, "ERROR_REASON_BAD_INPUT: zero", None]


def test_a_missing_parameter_or_input_is_named() -> None:
    with pytest.raises(ValueError, match="'factor' is missing"):
        Doubler().initialize(configuration())
    with pytest.raises(Refused, match="N: input is missing"):
        Request(FakeRequest()).tensor("N")


@pytest.mark.parametrize("value", ["5", 5])
def test_numbers_may_come_as_text(value: str | int) -> None:
    request = Request(FakeRequest({"seed": value}, TEXT=np.array(["é".encode()], dtype=object)))
    assert request.integer("seed", 0) == 5
    assert request.number("seed", 0.0) == 5.0
    assert request.integer("absent", 7) == 7
    assert request.text("TEXT") == "é"


@pytest.mark.parametrize("value", ["five", "1e400000x"])
def test_a_malformed_number_is_refused(value: str) -> None:
    with pytest.raises(Refused, match="seed: not an integer"):
        Request(FakeRequest({"seed": value})).integer("seed", 0)


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Refused, match="TEXT: not UTF-8"):
        Request(FakeRequest(TEXT=np.array([b"\xff"], dtype=object))).text("TEXT")
