"""`vita replay`: runs a recorded turn again, against any mixture of real and recorded components, and compares."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path

from vita_replay.picture import draw, waterfall
from vita_replay.replaying import NAMES, Options, replay
from vita_runtime.errors import StartupError, VitaError
from vita_runtime.launcher.installation import home
from vita_runtime.launcher.stack import default_checkpoint

IDENTICAL, DIVERGED, CANNOT_RUN = 0, 1, 2
KILL = re.compile(r"(\w+)@(\d+(?:\.\d+)?)s?")
SLOW = re.compile(r"(\w+)=(\d+(?:\.\d+)?)x?")
ADDRESS = re.compile(r"[\w.-]+:\d+|unix:.+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("bundle", type=Path, help="a recording, *.vita.zip")
    parser.add_argument("--real", default="", metavar="PARTS", help=f"some of {','.join(NAMES)}, or all")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="COMPONENT=WHAT",
        help="a real component from other weights (a folder), or one that runs already (HOST:PORT)",
    )
    parser.add_argument("--kill", action="append", default=[], metavar="COMPONENT@S", help="kill it then, llm@1.2s say")
    parser.add_argument("--slow", action="append", default=[], metavar="COMPONENT=X", help="slow it, llm=3x say")
    parser.add_argument("--load", type=int, default=1, metavar="N", help="so many copies, one a little after the other")
    parser.add_argument("--speed", type=float, default=1.0, help="2 takes half as long; what computes does not")
    parser.add_argument(
        "--state-dir", type=Path, default=home() / ".vita", help="of the stack with the real components"
    )
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint(), help="weights, where no stack runs")
    parser.add_argument("--out", type=Path, help="draw the waterfalls here, SVG or PNG")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Replay; return 0: identical, 1: it diverged, 2: it cannot run."""
    logging.getLogger().addHandler(logging.NullHandler())  # what the orchestrator would log is in the report
    try:
        report = replay(options_of(arguments))
        if arguments.out is not None:
            falls = [waterfall("replayed", report.copies[0].played.bundle), waterfall("recorded", report.recorded)]
            draw(falls, arguments.out)
    except (StartupError, VitaError) as error:
        print(f"error: {error}", file=sys.stderr)
        return CANNOT_RUN
    print(report.as_json() if arguments.json else report.as_text())
    return IDENTICAL if report.is_identical else DIVERGED


def options_of(arguments: argparse.Namespace) -> Options:
    """Read the command line. Raises VitaError: it says what cannot be."""
    real = [name.strip() for name in arguments.real.split(",") if name.strip()]
    addresses: dict[str, str] = {}
    weights: dict[str, Path] = {}
    for variant in arguments.variant:
        name, _, what = variant.partition("=")
        if ADDRESS.fullmatch(what):
            addresses[name] = what
        else:
            weights[name] = _weights(name, what)
    return Options(
        bundle=arguments.bundle,
        real=NAMES if "all" in real else real,
        weights=weights,
        addresses=addresses,
        kills=_numbers("--kill", KILL, arguments.kill),
        slows=_numbers("--slow", SLOW, arguments.slow),
        copies=arguments.load,
        speed=arguments.speed,
        state_dir=arguments.state_dir,
        checkpoint=arguments.checkpoint,
    )


def _weights(name: str, what: str) -> Path:
    """Return a component's folder of weights: the one named, or the component's own within it."""
    for folder in (Path(what), Path(what) / name):
        if (folder / "manifest.json").is_file():
            return folder
    raise VitaError(f"--variant {name}={what}: neither an address nor a folder with {name}'s weights")


def _numbers(flag: str, pattern: re.Pattern[str], given: list[str]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for text in given:
        matched = pattern.fullmatch(text)
        if matched is None:
            example = "llm@1.2s" if pattern is KILL else "llm=3x"
            raise VitaError(f"{flag} {text}: write it like {example}")
        numbers[matched[1]] = float(matched[2])
    return numbers
