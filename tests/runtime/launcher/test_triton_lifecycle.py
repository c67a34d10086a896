"""Tritons under the launcher: what is left when it ends, and what happens when one of them, or its stub, dies."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from vita_runtime.launcher import probes

from tests.runtime.launcher.test_lifecycle import left_behind, stack_id
from tests.stack import COMPONENTS, RunningStack, running_stack, wait_until

pytestmark = pytest.mark.triton

MEMORY_LIMIT = 4 << 30  # bytes, of the whole stack


def memory(stack: RunningStack) -> int:
    """Return the proportional set size of a stack's processes, in bytes."""
    roots = [psutil.Process(stack.process.pid)]
    return sum(process.memory_full_info().pss for root in roots for process in (root, *root.children(recursive=True)))


@pytest.mark.parametrize("component", COMPONENTS)
async def test_every_engine_does_real_work(stack: RunningStack, component: str) -> None:
    await probes.first_request(component, stack.address(component))


def test_the_whole_stack_is_under_4_gb(stack: RunningStack) -> None:
    assert memory(stack) < MEMORY_LIMIT


def test_all_ports_are_on_loopback(stack: RunningStack) -> None:
    root = psutil.Process(stack.process.pid)
    for process in (root, *root.children(recursive=True)):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip.removeprefix("::ffff:") == "127.0.0.1", process.cmdline()


def test_one_process_death_is_healed_on_the_same_ports(triton: None, scratch: Path, checkpoint: Path) -> None:
    with running_stack(scratch / "heal", checkpoint, ("redis", "codec_decoder")) as stack:
        before = stack.part("codec_decoder")
        for victim in ("server", "stub"):
            pid = stack.pid("codec_decoder")
            process = psutil.Process(pid)
            started = time.monotonic()
            os.kill(pid if victim == "server" else process.children()[0].pid, signal.SIGKILL)
            stack.wait_until_restarted("codec_decoder", pid, within_s=60)
            assert time.monotonic() - started < 60
        after = stack.part("codec_decoder")
        assert {kind: after[kind] for kind in ("grpc", "http", "metrics")} == {
            kind: before[kind] for kind in ("grpc", "http", "metrics")
        }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_stub_and_no_shared_memory_is_left_behind(
    triton: None, scratch: Path, checkpoint: Path, number: int
) -> None:
    state_dir = scratch / f"triton-{number}"
    with running_stack(state_dir, checkpoint, ("codec_decoder",)) as stack:
        identity = stack_id(stack.pid("codec_decoder"))
        assert any(name.startswith(f"vita_{identity}_codec_decoder_") for name in left_behind(identity))
        stack.stop(number)
        wait_until(lambda: [p.name for p in state_dir.iterdir()] == ["logs"], 15, "files were left")
    assert left_behind(identity) == []


def test_a_broken_model_is_one_line(triton: None, scratch: Path, checkpoint: Path) -> None:
    """The weights' file is not what its manifest says."""
    folder = scratch / "broken"
    for component in ("codec_decoder",):
        (folder / component).mkdir(parents=True)
        for file in (checkpoint / component).iterdir():
            (folder / component / file.name).write_bytes(file.read_bytes()[:100_000])
    command = ["vita", "up", "--state-dir", str(scratch / "broken-state"), "--checkpoint", str(folder)]
    environment = {**os.environ, "PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(
        [*command, "--only", "codec_decoder"], capture_output=True, text=True, timeout=110, env=environment
    )
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("error: codec_decoder could not start: ")
