"""Real components for a replay: those of a running stack, or some that the launcher runs for the replay's time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vita_runtime.errors import StartupError

START_S = 180.0  # under 15 s on two idle cores
STOP_S = 40.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class RealPart:
    """A real component's replica."""

    address: str
    pid: int


def of_running_stack(state_dir: Path) -> dict[str, RealPart]:
    """Return the components of the stack that runs with a state folder; empty: none does, or it is not ready."""
    try:
        document = json.loads((state_dir / "stack.json").read_text())
        parts = document["parts"]
        return {
            name: RealPart(str(part["grpc"]), int(part["pid"]))
            for name, part in parts.items()
            if name != "orchestrator" and "grpc" in part and part.get("state") == "healthy"
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


@contextlib.contextmanager
def started(names: Collection[str], checkpoint: Path, instead: Mapping[str, Path]) -> Iterator[dict[str, RealPart]]:
    """Run components inside the block.

    Args:
        names: Which.
        checkpoint: Folder with the weights, a folder each.
        instead: Folders with other weights, by component.

    Raises:
        StartupError: they do not start.
    """
    with tempfile.TemporaryDirectory(prefix="vita-replay-", ignore_cleanup_errors=True) as scratch:
        weights = Path(scratch) / "checkpoint"
        weights.mkdir()
        for name in names:
            (weights / name).symlink_to((instead.get(name) or checkpoint / name).resolve())
        state_dir, log = Path(scratch) / "stack", Path(scratch) / "log"
        command = [sys.executable, "-m", "vita_cli.main", "up", "--state-dir", str(state_dir)]
        command += ["--checkpoint", str(weights), "--only", ",".join(names)]
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(process, log)
            yield of_running_stack(state_dir)
        finally:
            process.terminate()
            process.wait(STOP_S)


def kill(part: RealPart) -> None:
    """End a replica's process at once; the launcher starts it again."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(part.pid, signal.SIGKILL)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_s = time.monotonic() + START_S
    while "\nready " not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > give_up_s:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise StartupError(f"the real components did not start: {lines[-1] if lines else 'no word from them'}")
        time.sleep(POLL_S)
