"""A line of JSON a step, beside the run's weights; the curves are drawn from it. Who writes it has the folder."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path


class FolderTakenError(Exception):
    """Another process is training there."""


class RunLog:
    """Appends to `<folder>/log.jsonl`, and keeps other runs out of the folder until it is closed."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Go on after `last_step`: lines of later steps, which a killed run took and will take again, are dropped.

        Raises:
            FolderTakenError: somebody else is writing it.
        """
        self._path = folder / "log.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._claim = self._path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._claim.close()
            raise FolderTakenError(f"{folder}: another run is at work there; stop it, or choose --folder") from None
        kept = [line for line in read_log(self._path) if line["step"] <= last_step]
        self._path.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")

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
