"""`make eval`: what the model hears, sees, remembers and says of the small world that training never met, in one table.

Held-out voices, speeds, phrasings and pictures; how each bar is measured stands in docs/quality.md. The last line is
everything as one JSON object. The exit status is 0 unless measuring failed, or with `--strict` a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from vita_training.curves import draw_curves

from vita15.checkpoint import load_manifest
from vita_evaluation.plumbing.table import write_between_markers
from vita_evaluation.quality import pictures
from vita_evaluation.quality.families import measure_all
from vita_evaluation.quality.material import Material
from vita_evaluation.quality.table import FAMILIES, Finding, for_markdown, for_programs, for_terminal

PAGE, PICTURES = Path("docs/quality.md"), Path("docs/pictures")
COMPONENTS = ("vision_encoder", "speech_encoder", "llm", "speech_decoder", "codec_decoder")


def write(findings: Sequence[Finding], material: Material, took: str) -> None:
    """Put table and pictures into the page."""
    runs = {name: load_manifest(material.checkpoint / name) for name in COMPONENTS}
    trained = "\n".join(f"- {name} {run.version}: {run.training_run}" for name, run in runs.items())
    parts = [for_markdown(findings), f"Measured in {took}, on:", trained]
    pictures.draw_mel(material, PICTURES / pictures.MEL)
    parts.append(f"![Mel spectrograms of espeak's voice and ours](pictures/{pictures.MEL})")
    if draw_curves(material.stage_folder(""), PICTURES / pictures.CURVES):
        parts.append(f"![Curves of training](pictures/{pictures.CURVES})")
    write_between_markers(PAGE, "\n\n".join(parts))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="vita_evaluation.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument(
        "--training", type=Path, default=Path(".vita/training"), help="recordings, and the recipe's run"
    )
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(FAMILIES), metavar="FAMILIES")
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples: to see that it works")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is not met")
    parser.add_argument("--write", action="store_true", help=f"put table and pictures into {PAGE}")
    given = parser.parse_args()
    if unknown := set(given.only) - set(FAMILIES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    if given.write and (given.quick or set(given.only) != set(FAMILIES)):
        parser.error(f"--write is for the whole table: without --quick and --only, or {PAGE} would lose the rest")
    return given


def main() -> int:
    """Run it."""
    given = arguments()
    material = Material(given.checkpoint, given.training, given.quick)
    began = time.monotonic()
    findings = measure_all([family for family in FAMILIES if family in given.only], material)
    seconds = round(time.monotonic() - began)
    took = f"{seconds} s on {os.cpu_count()} cores"
    print(f"{for_terminal(findings)}\n\n{took}")
    if given.write:
        write(findings, material, took)
    facts = {"checkpoint": str(given.checkpoint), "seconds": seconds, "is_quick": given.quick}
    print(json.dumps(for_programs(findings, facts)))
    verdicts = {finding.verdict for finding in findings}
    return int("FAILED" in verdicts or (given.strict and not verdicts <= {"met", ""}))


if __name__ == "__main__":
    sys.exit(main())
