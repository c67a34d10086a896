"""The clients send exactly the names, types and ranks that `model_repo/*/config.pbtxt` declares, and read no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from vita_components.codec_decoder import decode_request
from vita_components.llm import llm_request
from vita_components.speech_decoder import speak_request
from vita_components.speech_encoder import utterance_request
from vita_components.tensors import Tensor, text_tensor
from vita_components.triton import Message
from vita_components.vision_encoder import encode_request

pytestmark = pytest.mark.unit

MODEL_REPO = Path(__file__).resolve().parents[2] / "model_repo"
ROWS = Tensor("EMBEDDINGS", "FP16", (2, 384), bytes(2 * 384 * 2))
REQUESTS = {
    "vision_encoder": [encode_request(b"picture", 12)],
    "speech_encoder": [utterance_request("u", "open"), utterance_request("u", "push", bytes(640))],
    "llm": [
        llm_request("s", "append_text", {"role": "user"}, [text_tensor("TEXT", "hello")]),
        llm_request(
            "s", "append_text", {"role": "system"}, [text_tensor("TEXT", "be kind"), text_tensor("TOOLS", "[]")]
        ),
        llm_request("s", "append_embeddings", {"role": "user"}, [ROWS]),
    ],
    "speech_decoder": [speak_request("Hello.", 1)],
    "codec_decoder": [decode_request((1, 2, 3), 1, 1)],
}
READ = {  # outputs that the clients read, and as what
    "vision_encoder": {"EMBEDDINGS": "FP16", "TILE": "INT32"},
    "speech_encoder": {"EMBEDDINGS": "FP16", "END": "INT32", "FINISHED": "FP32", "HEARD_MS": "INT32"},
    "llm": {
        "KIND": "STRING",
        "SEQUENCE": "INT64",
        "POSITION": "INT32",
        "COUNT": "INT32",
        "TEXT": "STRING",
        "SCORES": "FP32",
    },
    "speech_decoder": {"CODES": "INT32", "END": "INT32"},
    "codec_decoder": {"SOUND": "INT16"},
}


def configuration(component: str) -> model_config_pb2.ModelConfig:
    """A component's committed configuration."""
    return text_format.Parse((MODEL_REPO / component / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def kserve_type(declared: int) -> str:
    """KServe's name of a type of Triton's configuration."""
    name = model_config_pb2.DataType.Name(declared).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def fits(shape: list[int], dims: list[int]) -> bool:
    """Whether a shape is one of those that were declared."""
    return len(shape) == len(dims) and all(dim in (-1, size) for size, dim in zip(shape, dims, strict=True))


@pytest.mark.parametrize("component", REQUESTS)
def test_every_input_that_is_sent_is_declared_with_its_type_and_rank(component: str) -> None:
    declared = {spec.name: spec for spec in configuration(component).input}
    for request in REQUESTS[component]:
        for tensor in request.inputs:
            assert tensor.datatype == kserve_type(declared[tensor.name].data_type)
            assert fits(list(tensor.shape), list(declared[tensor.name].dims))


@pytest.mark.parametrize("component", REQUESTS)
def test_every_declared_input_is_sent_by_some_request(component: str) -> None:
    sent = {tensor.name for request in REQUESTS[component] for tensor in request.inputs}
    assert sent == {spec.name for spec in configuration(component).input}


@pytest.mark.parametrize("component", READ)
def test_every_output_that_is_read_is_declared_with_its_type(component: str) -> None:
    declared = {
        spec.name: model_config_pb2.DataType.Name(spec.data_type).removeprefix("TYPE_")
        for spec in configuration(component).output
    }
    declared.pop("OP_REPLY")  # a ping's: its coming is enough
    assert declared == READ[component]


@pytest.mark.parametrize("component", REQUESTS)
def test_a_ping_needs_no_input(component: str) -> None:
    assert all(spec.optional for spec in configuration(component).input)


@pytest.mark.parametrize("component", REQUESTS)
def test_the_bytes_of_every_tensor_are_as_many_as_its_shape_says(component: str) -> None:
    sizes = {"UINT8": 1, "INT16": 2, "FP16": 2, "INT32": 4}
    for request in REQUESTS[component]:
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
            if tensor.datatype != "BYTES":
                assert len(raw) == sizes[tensor.datatype] * count_of(tensor)


def count_of(tensor: Message) -> int:
    """Elements of a tensor."""
    count = 1
    for size in tensor.shape:
        count *= size
    return count
