"""One JSON line a report, to the screen and to a file beside the run's weights, from which the curves are drawn."""

from __future__ import annotations

import json
from pathlib import Path


class RunLog:
    """Appends to `<folder>/log.jsonl`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "log.jsonl"

    def report(self, **figures: float | str | dict[str, float]) -> None:
        """Write one line."""
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in figures.items()}
        line = json.dumps(rounded)
        print(line, flush=True)
        with self._path.open("a") as file:
            file.write(line + "\n")
