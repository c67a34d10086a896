"""The five models inside real Triton processes, asked over KServe as docs/components.md says."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.stack import COMPONENTS, RunningStack

pytestmark = pytest.mark.triton

NUMPY = {"INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "INT16": np.int16}
KSERVE = {np.dtype(kind): name for name, kind in NUMPY.items()}

Answer = dict[str, Any]


def request(model: str, parameters: dict[str, str | int | float], **tensors: Any) -> Any:
    asked = service_pb2.ModelInferRequest(model_name=model)
    for name, value in parameters.items():
        kind = {str: "string_param", int: "int64_param", float: "double_param"}[type(value)]
        setattr(asked.parameters[name], kind, value)
    for name, value in tensors.items():
        if isinstance(value, str):
            datatype, shape, raw = "BYTES", [1], struct.pack("<I", len(value.encode())) + value.encode()
        elif isinstance(value, bytes):
            datatype, shape, raw = "UINT8", [len(value)], value
        else:
            datatype, shape, raw = KSERVE[value.dtype], value.shape, value.tobytes()
        asked.inputs.add(name=name, datatype=datatype, shape=shape)
        asked.raw_input_contents.append(raw)
    return asked


def answer(response: Any) -> Answer:
    values: Answer = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        is_text = output.datatype == "BYTES"
        values[output.name] = (
            raw[4:].decode() if is_text else np.frombuffer(raw, NUMPY[output.datatype]).reshape(output.shape)
        )
    return values


class Stream:
    """A stream to one model."""

    def __init__(self, model: str, call: Any) -> None:
        self.model, self.call = model, call

    async def send(self, op: str, parameters: dict[str, str | int | float] | None = None, **tensors: Any) -> None:
        await self.call.write(request(self.model, {"op": op, **(parameters or {})}, **tensors))

    async def receive(self) -> Answer:
        response = await asyncio.wait_for(self.call.read(), 20)
        return {"ERROR": response.error_message} if response.error_message else answer(response.infer_response)

    async def until(self, name: str) -> list[Answer]:
        """Receive until an answer has this output."""
        answers = [await self.receive()]
        while name not in answers[-1] and "ERROR" not in answers[-1]:
            answers.append(await self.receive())
        return answers


@asynccontextmanager
async def stream(stack: RunningStack, model: str) -> AsyncIterator[Stream]:
    async with grpc.aio.insecure_channel(stack.address(model)) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer()
        try:
            yield Stream(model, call)
        finally:
            call.cancel()


async def ask_context(stack: RunningStack, name: str, question: str, max_tokens: int = 30) -> str:
    """Open a session, ask, and return the answer."""
    async with stream(stack, "llm") as llm:
        session: dict[str, str | int | float] = {"session_id": name}
        await llm.send("open", session)
        await llm.send("append_text", {**session, "role": "user"}, TEXT=question)
        await llm.send("generate", {**session, "states": "text", "max_tokens": max_tokens})
        text = ""
        while (said := await llm.receive())["KIND"] != "end":
            assert said["KIND"] != "error", said
            text += said["TEXT"] if said["KIND"] == "text" else ""
        return text


async def speak(stack: RunningStack, text: str, seed: int, most: int = 100) -> list[int]:
    """Return a clause's first codes; random weights would go on for all of 25 s."""
    codes: list[int] = []
    async with stream(stack, "speech_decoder") as decoder:
        await decoder.send("speak", {"seed": seed}, TEXT=text)
        while len(codes) < most:
            said = await decoder.receive()
            codes.extend(said["CODES"].tolist())
            if "END" in said:
                break
    return codes[:most]


@pytest.mark.parametrize("model", COMPONENTS)
async def test_every_model_answers_a_ping_without_tensors(stack: RunningStack, model: str) -> None:
    if model == "codec_decoder":
        async with grpc.aio.insecure_channel(stack.address(model)) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert answer(await stub.ModelInfer(request(model, {"op": "ping"})))["OP_REPLY"] == "pong"
    else:
        async with stream(stack, model) as asked:
            await asked.send("ping")
            assert (await asked.receive())["OP_REPLY"] == "pong"


async def test_eight_sessions_at_once_get_the_answers_they_get_alone(stack: RunningStack) -> None:
    questions = [f"What is {number} and the colour of it?" * (1 + number % 3) for number in range(8)]
    together = await asyncio.gather(*(ask_context(stack, f"t{i}", q) for i, q in enumerate(questions)))
    alone = [await ask_context(stack, f"a{i}", q) for i, q in enumerate(questions)]
    assert list(together) == alone


async def test_clauses_spoken_at_once_equal_those_spoken_alone(stack: RunningStack) -> None:
    clauses = ["It is red.", "Hello there!", "No,", "a green square on the left"]
    together = await asyncio.gather(*(speak(stack, text, seed) for seed, text in enumerate(clauses)))
    assert list(together) == [await speak(stack, text, seed) for seed, text in enumerate(clauses)]


async def test_a_stopped_answer_ends_within_100_ms_and_the_session_goes_on(stack: RunningStack) -> None:
    took_s: list[float] = []
    async with stream(stack, "llm") as llm:
        session: dict[str, str | int | float] = {"session_id": "stopped", "sequence": 5}
        await llm.send("open", session)
        assert (await llm.receive())["KIND"] == "opened"
        for _ in range(3):  # the best of three: other tests' processes share the machine
            await llm.send("append_text", {**session, "role": "user"}, TEXT="Tell a long story.")
            await llm.send("generate", {**session, "states": "text", "max_tokens": 2000})
            assert [(await llm.receive())["KIND"] for _ in range(2)] == ["appended", "judgement"]
            started = time.monotonic()
            await llm.send("stop", session)
            while (said := await llm.receive())["KIND"] != "end":
                pass
            took_s.append(time.monotonic() - started)
            assert said["TEXT"] in ("cancelled", "stop")  # a model may have had nothing more to say
        assert min(took_s) < 0.1
        await llm.send("truncate", {**session, "position": 3})
        assert int((await llm.receive())["POSITION"][0]) <= 3


async def test_refusals_name_their_reason_and_the_stream_goes_on(stack: RunningStack) -> None:
    async with stream(stack, "llm") as llm:
        await llm.send("generate", {"session_id": "never opened", "sequence": 9})
        refused = await llm.receive()
        assert (refused["KIND"], int(refused["SEQUENCE"][0])) == ("error", 9)
        assert refused["TEXT"].startswith("ERROR_REASON_COMPONENT_UNAVAILABLE")
        await llm.send("dance", {"session_id": "x"})
        assert (await llm.receive())["TEXT"].startswith("ERROR_REASON_BAD_INPUT")
    async with stream(stack, "vision_encoder") as vision:
        await vision.send("", PICTURE=b"not a picture")
        assert (await vision.receive())["ERROR"].startswith("ERROR_REASON_BAD_MEDIA")
    async with stream(stack, "speech_decoder") as decoder:
        await decoder.send("speak")
        assert (await decoder.receive())["ERROR"].startswith("ERROR_REASON_BAD_INPUT")


async def test_an_utterance_in_pieces_gives_what_it_gives_whole(stack: RunningStack) -> None:
    sound = (np.random.default_rng(1).standard_normal(20_000) * 3000).astype(np.int16)
    heard: list[np.ndarray[Any, Any]] = []
    for pieces in (1, 8):
        async with stream(stack, "speech_encoder") as encoder:
            session: dict[str, str | int | float] = {"session_id": "u"}
            await encoder.send("open", session)
            for piece in np.array_split(sound, pieces):
                await encoder.send("push", session, SAMPLES=piece)
            await encoder.send("finish", session)
            heard.append(np.concatenate([said["EMBEDDINGS"] for said in await encoder.until("END")]))
    assert len(heard[0]) > 10
    np.testing.assert_allclose(heard[0], heard[1], atol=0.02)


async def test_silence_and_nothing_are_answered_with_empty_tensors(stack: RunningStack) -> None:
    async with stream(stack, "speech_encoder") as encoder:
        await encoder.send("open", {"session_id": "empty"})
        await encoder.send("finish", {"session_id": "empty"})
        (last,) = await encoder.until("END")
        assert last["EMBEDDINGS"].shape[0] == 0
    assert await speak(stack, "", 0) == []


async def test_the_models_are_configured_as_the_table_says(stack: RunningStack) -> None:
    async with grpc.aio.insecure_channel(stack.address("llm")) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        config = (await stub.ModelConfig(service_pb2.ModelConfigRequest(name="llm"))).config
    assert config.model_transaction_policy.decoupled
    assert {tensor.name for tensor in config.input} == {"TEXT", "EMBEDDINGS", "TOOLS"}
    assert all(tensor.optional for tensor in config.input)
    assert "KIND" in {tensor.name for tensor in config.output}
