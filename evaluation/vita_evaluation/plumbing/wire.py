from __future__ import annotations

from vita_evaluation.plumbing.pairs import Bench
from vita_evaluation.plumbing.table import Row


async def rows(bench: Bench) -> list[Row]:
    return []
