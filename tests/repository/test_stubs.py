"""gen/ is what protos/ says: generated again, it comes out the same to the byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.stack import ROOT

pytestmark = pytest.mark.unit


def stubs(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.py*") if file.suffix != ".pyc"}


def test_stubs_do_not_drift_from_the_protos(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "protos.py", tmp_path], check=True)
    fresh, committed = stubs(tmp_path), stubs(ROOT / "gen")
    assert sorted(fresh) == sorted(committed), "run `make protos`"
    assert [name for name in fresh if fresh[name] != committed[name]] == [], "run `make protos`"


def test_a_protos_path_is_its_package() -> None:
    for file in (ROOT / "protos").rglob("*.proto"):
        package = ".".join(file.parent.relative_to(ROOT / "protos").parts)
        assert f"\npackage {package};\n" in file.read_text(), file


def test_enums_start_unspecified(tmp_path: Path) -> None:
    """Zero is what a reader sees of a value it does not know."""
    protos = sorted(str(file.relative_to(ROOT / "protos")) for file in (ROOT / "protos").rglob("*.proto"))
    import google.rpc

    googleapis = Path(next(iter(google.rpc.__path__))).parent.parent
    output = tmp_path / "set.pb"
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-Iprotos",
        f"-I{googleapis}",
        f"--descriptor_set_out={output}",
    ]
    subprocess.run([*command, *protos], cwd=ROOT, check=True)
    enums = [
        enum
        for file in descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes()).file
        for enum in file.enum_type
    ]
    assert enums
    assert [e.name for e in enums if not e.value[0].name.endswith("_UNSPECIFIED")] == []
