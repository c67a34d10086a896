"""What keeps a stack from starting is said in one line, and leaves nothing."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from vita_runtime.errors import StartupError
from vita_runtime.launcher import installation
from vita_runtime.launcher.ports import free_ports, is_free
from vita_runtime.launcher.stack import Options, running

pytestmark = pytest.mark.unit


def options(tmp_path: Path, *only: str, port: int = 0) -> Options:
    return Options(tmp_path / "state", tmp_path / "checkpoint", port=port, only=only)


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like an unpacked Triton."""
    triton = tmp_path / "triton"
    version = "{}.{}".format(*sys.version_info)
    for file in (
        triton / "pytriton/tritonserver/bin/tritonserver",
        triton / "stubs" / version / "triton_python_backend_stub",
    ):
        file.parent.mkdir(parents=True)
        file.touch()
    (triton / "backends" / "python").mkdir(parents=True)
    (triton / "backends/python/triton_python_backend_stub").symlink_to(file)
    monkeypatch.setenv("VITA_TRITON_DIR", str(triton))
    return triton


def test_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StartupError, match=f"port {port} is taken; choose another with --port"):
            async with running(options(tmp_path, "gateway", port=port)):
                pass
    assert list((tmp_path / "state").iterdir()) == []


async def test_a_part_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="there is no part 'tts'; parts are redis, "):
        async with running(options(tmp_path, "tts")):
            pass


async def test_without_setup_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITA_TRITON_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(StartupError, match="nowhere; run `make setup`"):
        async with running(options(tmp_path, "llm")):
            pass


def test_another_pythons_triton_is_refused(unpacked: Path) -> None:
    stub = unpacked / "backends/python/triton_python_backend_stub"
    other = unpacked / "stubs" / "2.7" / stub.name
    other.parent.mkdir()
    other.touch()
    stub.unlink()
    stub.symlink_to(other)
    with pytest.raises(StartupError, match=r"set up for Python 2\.7, this is 3\."):
        installation.check_triton(installation.Installation(unpacked, unpacked, unpacked))


def test_numpy_2_is_refused(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.4.6")
    with pytest.raises(StartupError, match=r"numpy is 2\.4\.6, .* run `pip install 'numpy<2'`"):
        installation.check_triton(installation.Installation(unpacked, unpacked, unpacked))


async def test_a_part_that_ends_at_once_is_said_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'Error: no memory'\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(installation, "redis_server", lambda: broken)
    with pytest.raises(StartupError, match="redis could not start: Error: no memory"):
        async with running(options(tmp_path, "redis")) as stack:
            await stack.start()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["logs"]


def test_the_supervisor_is_light() -> None:
    program = (
        "import sys, vita_runtime.launcher.stack; print(sorted({'torch', 'numpy', 'tritonclient'} & {*sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
