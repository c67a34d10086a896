"""A stack leaves nothing behind however it ends, and starts again what dies. Redis alone stands for all parts here;
test_triton_lifecycle.py does the same with Tritons."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from vita_runtime.launcher.reaper import TAG

from tests.stack import running_stack, wait_until

pytestmark = pytest.mark.redis


def left_behind(stack_id: str) -> list[str]:
    """Return processes and shared memory files that carry a stack's id."""
    found = [path.name for path in Path("/dev/shm").glob(f"vita_{stack_id}_*")]
    for process in psutil.process_iter():
        try:
            if process.environ().get(TAG) == stack_id:
                found.append(process.name())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def stack_id(pid: int) -> str:
    return psutil.Process(pid).environ()[TAG]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(scratch: Path, tmp_path: Path, number: int) -> None:
    state_dir = scratch / f"lifecycle-{number}"
    with running_stack(state_dir, tmp_path, ("redis",)) as stack:
        identity = stack_id(stack.pid("redis"))
        assert left_behind(identity)
        status = stack.stop(number)
        wait_until(lambda: [p.name for p in state_dir.iterdir()] == ["logs"], 10, "files were left")
    assert left_behind(identity) == []
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0)


def test_a_killed_part_comes_back_at_the_same_address_with_its_data(scratch: Path, tmp_path: Path) -> None:
    with running_stack(scratch / "restart", tmp_path, ("redis",)) as stack:
        address, socket = stack.address("redis", "address"), stack.address("redis", "address").removeprefix("unix://")
        from redis import Redis

        with Redis(unix_socket_path=socket) as client:
            client.set("session", "kept")
            wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, 5, "written")
        stack.wait_until_restarted("redis", stack.kill("redis"), within_s=10)
        assert stack.address("redis", "address") == address
        with Redis(unix_socket_path=socket) as client:
            assert client.get("session") == b"kept"


def test_a_part_that_hangs_is_found_and_started_again(scratch: Path, tmp_path: Path) -> None:
    with running_stack(scratch / "hang", tmp_path, ("redis",)) as stack:
        pid = stack.pid("redis")
        os.kill(pid, signal.SIGSTOP)
        stack.wait_until_restarted("redis", pid, within_s=30)


def test_one_folder_holds_one_stack(scratch: Path, tmp_path: Path) -> None:
    state_dir = scratch / "one"
    with running_stack(state_dir, tmp_path, ("redis",)) as stack:
        command = [sys.executable, "-m", "vita_cli.main", "up", "--only", "redis", "--state-dir", str(state_dir)]
        second = subprocess.run(command, capture_output=True, text=True)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith("error: a stack is running with ")
        assert second.stderr.count("\n") == 1
        assert stack.part("redis")["state"] == "healthy"


def test_vita_down_stops_it_and_returns_when_it_is_gone(scratch: Path, tmp_path: Path) -> None:
    state_dir = scratch / "down"
    down = [sys.executable, "-m", "vita_cli.main", "down", "--state-dir", str(state_dir)]
    with running_stack(state_dir, tmp_path, ("redis",)) as stack:
        assert subprocess.run(down).returncode == 0
        assert not (state_dir / "stack.json").exists()
        assert stack.process.wait(timeout=10) == 0
    again = subprocess.run(down, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (1, f"error: no stack runs with {state_dir}\n")


def test_only_this_user_may_open_the_store(scratch: Path, tmp_path: Path) -> None:
    with running_stack(scratch / "modes", tmp_path, ("redis",)) as stack:
        socket = Path(stack.address("redis", "address").removeprefix("unix://"))
        assert socket.stat().st_mode & 0o777 == 0o700
        assert socket.parent.stat().st_mode & 0o777 == 0o700
