"""`vita down`: stops a stack and returns when it is gone."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path

from vita_runtime.errors import StartupError
from vita_runtime.launcher.installation import home

STOP_S = 30.0  # three rounds of grace and the clearing up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vita down`."""
    parser.add_argument("--state-dir", type=Path, default=home() / ".vita", help="the stack's folder")


def run(arguments: argparse.Namespace) -> int:
    """Stop the stack of a state folder and wait until it is gone."""
    file: Path = arguments.state_dir / "stack.json"
    try:
        pid = int(json.loads(file.read_text())["pid"])
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError, KeyError) as error:
        raise StartupError(f"no stack runs with {arguments.state_dir}") from error
    give_up = time.monotonic() + STOP_S
    while file.exists() and time.monotonic() < give_up:
        time.sleep(0.1)
    if file.exists():
        raise StartupError(f"the stack (process {pid}) is still running after {STOP_S:g} s")
    return 0
