"""Runs stacks for tests, the way a user does: `vita up` in a folder, and its stack.json."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TRAINED = ROOT / "checkpoints" / "tiny"
COMPONENTS = ("vision_encoder", "speech_encoder", "llm", "speech_decoder", "codec_decoder")
PARTS = ("redis", *COMPONENTS, "orchestrator", "gateway")
START_S = 300.0  # under 15 s on two idle cores; on cores shared with a training run ten times that


class RunningStack:
    """A stack, seen from outside through its stack.json."""

    def __init__(self, state_dir: Path, process: subprocess.Popen[str]) -> None:
        self.state_dir = state_dir
        self.process = process  # of `vita up`
        self.output = state_dir.with_suffix(".out")

    @property
    def document(self) -> dict[str, object]:
        """What stack.json says now."""
        return json.loads((self.state_dir / "stack.json").read_text())

    @property
    def url(self) -> str:
        """Where the gateway is: "http://127.0.0.1:PORT"."""
        return str(self.document["ready"])

    def part(self, name: str) -> dict[str, object]:
        """What stack.json says of one part: pid, state and addresses."""
        return self.document["parts"][name]  # type: ignore[index]

    def address(self, name: str, kind: str = "grpc") -> str:
        """A part's address of one kind: "grpc", "http", "metrics"; Redis has "address"."""
        return str(self.part(name)[kind])

    def pid(self, name: str) -> int:
        """The process id of a part."""
        return int(str(self.part(name)["pid"]))

    def log(self, name: str) -> str:
        """What a part has logged."""
        return (self.state_dir / "logs" / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str) -> int:
        """SIGKILL a part's process; returns the process id that is gone."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_restarted(self, name: str, old_pid: int, within_s: float = 30.0) -> None:
        """Wait until the part is healthy again in a new process."""
        wait_until(lambda: self.pid(name) != old_pid and self.part(name)["state"] == "healthy", within_s, name)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the launcher a signal and wait for its end; returns its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


@contextlib.contextmanager
def running_stack(
    state_dir: Path, checkpoint: Path, only: tuple[str, ...] = PARTS, environment: dict[str, str] | None = None
) -> Iterator[RunningStack]:
    """Run `vita up` until the end of the block; the stack is ready inside it.

    Args:
        state_dir: the stack's folder; its own.
        checkpoint: folder with the weights.
        only: the parts to run.
        environment: added to ours, e.g. settings of the orchestrator or the gateway.
    """
    output = state_dir.with_suffix(".out")
    command = [sys.executable, "-m", "vita_cli.main", "up", "--state-dir", str(state_dir)]
    command += ["--checkpoint", str(checkpoint), "--only", ",".join(only)]
    with output.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(environment or {})}
        )
    try:
        wait_until(
            lambda: process.poll() is not None or "\nready " in output.read_text(), START_S, f"the stack\n{output}"
        )
        if process.poll() is not None:
            pytest.fail(f"vita up ended with {process.returncode}:\n{output.read_text()}", pytrace=False)
        yield RunningStack(state_dir, process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=40)


def wait_until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Poll `condition` until it holds; fail the test when it does not in time."""
    give_up = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up:
            pytest.fail(f"not within {within_s:g} s: {what}", pytrace=False)
        time.sleep(0.05)


def checkpoint_folder(scratch: Path) -> Path:
    """Return the trained checkpoint if it is complete, else a random one of the same sizes made in `scratch`."""
    if all((TRAINED / component / "manifest.json").is_file() for component in COMPONENTS):
        return TRAINED
    make = [sys.executable, "-m", "vita15.random_checkpoint", "--config", "tiny", "--seed", "0"]
    subprocess.run([*make, "--out", str(scratch)], check=True)
    return scratch
