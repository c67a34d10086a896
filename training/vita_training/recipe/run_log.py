"""A line of JSON a step, beside the run's weights; the curves are drawn from it. Who writes it has the folder."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

LOG = "log.jsonl"
LOCK = ".lock"  # a file of its own: the log is replaced, and a lock upon it would go with the old one
TAIL_BYTES = 8192  # of a log, read for its last line: many times the longest


class FolderTakenError(Exception):
    """Another process is training there."""


class RunLog:
    """Appends to `<folder>/log.jsonl`, and keeps other runs out of the folder until it is closed."""

    def __init__(self, folder: Path) -> None:
        """Take the folder: nothing of it may be trusted before that.

        Raises:
            FolderTakenError: somebody else has it.
        """
        self._path = folder / LOG
        folder.mkdir(parents=True, exist_ok=True)
        self._claim = (folder / LOCK).open("a", encoding="utf-8")
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._claim.close()
            raise FolderTakenError(f"{folder}: another run is at work there; stop it, or choose --folder") from None

    def rewind(self, last_step: int) -> None:
        """Drop the lines of later steps, which a killed run took and will take again; a kill here drops all or none."""
        kept = [line for line in read_log(self._path) if line["step"] <= last_step]
        draft = self._path.with_suffix(".draft")
        draft.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
        os.replace(draft, self._path)

    def add(self, step: int, **figures: float) -> None:
        """Write one line, at once."""
        line = {"step": step} | {name: float(f"{value:.6g}") for name, value in figures.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")

    def close(self) -> None:
        """Give the folder back."""
        self._claim.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """Read a log; a last line that a kill cut short is left out, and a missing file is empty."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    whole = [line for line in lines if line.endswith("}")]
    return [json.loads(line) for line in whole]


def last_step(path: Path) -> int:
    """The step of a log's last whole line, without reading what comes before; 0 if there is none."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().splitlines()
    whole = [line for line in lines if line.startswith(b"{") and line.endswith(b"}")]
    return int(json.loads(whole[-1])["step"]) if whole else 0
