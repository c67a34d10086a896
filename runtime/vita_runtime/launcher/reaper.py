"""The launcher's last will: waits until the launcher is gone, however it went, and clears up after it.

Runs as its own process and session, started first: `python -I -S reaper.py STACK_ID RUN_DIR STACK_FILE`. Standard input
is a pipe whose other end only the launcher holds, so its end of file means that the launcher has ended, `kill -9`
included. Every process of the stack carries VITA_STACK_ID in its environment and passes it on to its children; that is
how they are found, orphans too. Standard library only, and nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

TAG = "VITA_STACK_ID"
SHARED_MEMORY = Path("/dev/shm")
GIVE_UP_S = 10.0  # a process that survives SIGKILL this long hangs in the kernel


def main() -> None:
    """Wait for the launcher's end, then leave nothing behind."""
    stack_id, run_dir, stack_file = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    clear(stack_id, Path(run_dir), Path(stack_file))


def clear(stack_id: str, run_dir: Path, stack_file: Path) -> None:
    """Kill what is left of the stack, and remove its shared memory, sockets and files."""
    kill_processes(stack_id)
    remove_shared_memory(shared_memory_prefix(stack_id))
    remove_tree(run_dir)
    stack_file.unlink(missing_ok=True)


def shared_memory_prefix(stack_id: str, part: str = "") -> str:
    """Return what the names of a stack's, or one part's, shared memory files start with."""
    return f"vita_{stack_id}_{part}_" if part else f"vita_{stack_id}_"


def remove_shared_memory(prefix: str) -> None:
    """Remove the files in /dev/shm whose names start with `prefix`."""
    for file in SHARED_MEMORY.glob(f"{prefix}*"):
        file.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder, rendered repositories included, which are read-only."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def kill_processes(stack_id: str) -> None:
    """SIGKILL the stack's processes, but not this one or its caller, until none is left."""
    give_up = time.monotonic() + GIVE_UP_S
    while (pids := processes(stack_id)) and time.monotonic() < give_up:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _kill(pid, give_up)


def _kill(pid: int, give_up: float) -> None:
    """SIGKILL a process and wait for its end. Raises ProcessLookupError: it has gone."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [], max(0.0, give_up - time.monotonic()))
    finally:
        os.close(process)


def processes(stack_id: str) -> list[int]:
    """Return the live processes that carry this stack's tag, this one excepted."""
    tag = f"{TAG}={stack_id}".encode()
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        # Processes come and go while we look; others' processes cannot be read and are not ours. A zombie's is empty.
        with contextlib.suppress(OSError):
            if tag in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    main()
