"""The launcher's own few lines of KServe v2 are the same bytes as Triton's client would send and read."""

from __future__ import annotations

import struct

import pytest
from tritonclient.grpc import service_pb2
from vita_runtime.launcher import kserve
from vita_runtime.launcher.probes import grey_png

pytestmark = pytest.mark.unit


def test_a_request_is_what_tritons_client_reads() -> None:
    codes = kserve.Tensor("CODES", "INT32", (300,), struct.pack("<300i", *range(300)))
    encoded = kserve.request("codec_decoder", {"op": "push", "seed": 3000}, (codes, kserve.text_tensor("TEXT", "hé")))
    read = service_pb2.ModelInferRequest.FromString(encoded)
    assert read.model_name == "codec_decoder"
    assert read.parameters["op"].string_param == "push"
    assert read.parameters["seed"].int64_param == 3000
    assert [(i.name, i.datatype, list(i.shape)) for i in read.inputs] == [
        ("CODES", "INT32", [300]),
        ("TEXT", "BYTES", [1]),
    ]
    assert list(read.raw_input_contents) == [codes.contents, b"\x03\0\0\0h\xc3\xa9"]


def test_a_response_is_read_as_triton_writes_it() -> None:
    message = service_pb2.ModelStreamInferResponse()
    message.infer_response.model_name = "llm"
    message.infer_response.parameters["triton_final_response"].bool_param = False
    for name, contents in (("KIND", b"\x04\0\0\0text"), ("SCORES", bytes(12))):
        message.infer_response.outputs.add(name=name, datatype="BYTES", shape=[1])
        message.infer_response.raw_output_contents.append(contents)
    read = kserve.response(message.SerializeToString())
    assert read == kserve.Response("", {"KIND": b"\x04\0\0\0text", "SCORES": bytes(12)})


def test_an_error_is_read_as_triton_writes_it() -> None:
    message = service_pb2.ModelStreamInferResponse(error_message="Stub process 'llm_0_0' is not healthy.")
    assert kserve.response(message.SerializeToString()).error == "Stub process 'llm_0_0' is not healthy."


def test_the_probes_picture_is_a_picture() -> None:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(grey_png(16))) as picture:
        assert (picture.size, picture.getpixel((3, 3))) == ((16, 16), 128)
