"""Which code measures which bars, and all of it run: a core a family where they do not disturb each other."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from tqdm import tqdm

from vita_evaluation.quality import answering, codec, hearing, noise, speaking, stack, turn_ends
from vita_evaluation.quality.material import Material, NotMeasurable
from vita_evaluation.quality.table import FAMILIES, Finding, for_terminal, missing

Measure = Callable[[Material], Iterator[Finding]]
MEASURES: dict[str, Measure] = {
    "hearing": hearing.hearing,
    "seeing": answering.seeing,
    "video": answering.video,
    "memory": answering.remembering,
    "tools": answering.tools,
    "noise": noise.noise,
    "turns": turn_ends.turn_ends,
    "speaking": speaking.speaking,
    "codec": codec.codec,
    "stack": stack.stack,
    "speed": speaking.speed,
}
LONGEST = ("speaking", "hearing")  # begun first, lest a core waits for one of them in the end
ALONE = ("stack", "speed")  # a stack has processes enough of its own, and a time is a time of a quiet machine


def measure(family: str, material: Material) -> list[Finding]:
    """Measure one family of bars; what cannot be measured says why, and what fails is told and leaves the others."""
    found: list[Finding] = []
    try:
        for finding in MEASURES[family](material):
            found.append(finding)
    except NotMeasurable as reason:
        return found + missing(family, found, str(reason))
    except Exception as error:
        traceback.print_exc()
        return found + missing(family, found, f"{type(error).__name__}: {error}", has_failed=True)
    return found


def measure_all(wanted: Sequence[str], material: Material) -> list[Finding]:
    """Measure families, a process each and a core each, and then one after another those that need the machine.

    Each is shown when it is done; they are returned in the table's order.
    """
    material.ensure_recordings()  # here, lest each process does
    found: dict[str, list[Finding]] = {}
    apart = sorted((family for family in wanted if family not in ALONE), key=lambda family: family not in LONGEST)
    with ProcessPoolExecutor(
        os.cpu_count(), get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as workers:
        for family, rows in zip(apart, workers.map(partial(measure, material=material), apart), strict=True):
            found[family] = rows
            tqdm.write(f"{for_terminal(rows)}\n")
    for family in wanted:
        if family in ALONE:
            found[family] = measure(family, material)
            tqdm.write(f"{for_terminal(found[family])}\n")
    return [finding for family in FAMILIES for finding in found.get(family, [])]
