"""A line of JSON a step, beside the run's weights; the curves are drawn from it."""

from __future__ import annotations

import json
from pathlib import Path


class RunLog:
    """Appends to `<folder>/log.jsonl`."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Go on after `last_step`: lines of later steps, which a killed run took and will take again, are dropped."""
        self._path = folder / "log.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_log(self._path) if line["step"] <= last_step]
        self._path.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")

    def add(self, step: int, **figures: float) -> None:
        """Write one line, at once."""
        line = {"step": step} | {name: float(f"{value:.6g}") for name, value in figures.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")


def read_log(path: Path) -> list[dict[str, float]]:
    """Read a log; a last line that a kill cut short is left out, and a missing file is empty."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    whole = [line for line in lines if line.endswith("}")]
    return [json.loads(line) for line in whole]
