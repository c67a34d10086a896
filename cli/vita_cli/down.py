"""`vita down`: stops a stack and returns when it is gone."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
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
        launcher = os.pidfd_open(pid)
    except (OSError, ValueError, KeyError) as error:
        raise StartupError(f"no stack runs with {arguments.state_dir}") from error
    try:
        signal.pidfd_send_signal(launcher, signal.SIGTERM)
        has_ended, _, _ = select.select([launcher], [], [], STOP_S)  # it ends after all else, its files included
    finally:
        os.close(launcher)
    if not has_ended:
        raise StartupError(f"the stack (process {pid}) is still running after {STOP_S:g} s")
    return 0
