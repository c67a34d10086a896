"""`vita up`: a stack in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from vita_runtime import logging, shutdown
from vita_runtime.launcher.installation import home
from vita_runtime.launcher.stack import PARTS, Options, Stack, default_checkpoint, running

STOP_S = 30.0  # three rounds of grace and the clearing up


def add_arguments(up: argparse.ArgumentParser) -> None:
    """Add the options of `vita up`."""
    up.add_argument("--state-dir", type=Path, default=home() / ".vita", help="the stack's folder; one stack each")
    up.add_argument("--checkpoint", type=Path, default=default_checkpoint(), help="folder with the weights")
    up.add_argument("--port", type=int, default=0, help="of the gateway; a free one unless given")
    up.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help=f"some of {','.join(PARTS)}")
    up.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    up.add_argument("--threads", type=int, default=1, help="torch threads of each component")
    up.add_argument(
        "--record",
        choices=("full", "redacted"),
        help="leave a recording of every turn in recordings/ of the stack's folder; full ones hold users' words",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run a stack until a signal comes."""
    options = Options(
        state_dir=arguments.state_dir,
        checkpoint=arguments.checkpoint,
        port=arguments.port,
        only=tuple(name.strip() for name in arguments.only.split(",") if name.strip()),
        device=arguments.device,
        threads=arguments.threads,
        settings=_recording(arguments.record, arguments.state_dir),
    )
    logging.configure("launcher")
    shutdown.run(lambda stop_event: _run(options, stop_event), grace_s=STOP_S)
    return 0


def _recording(form: str | None, state_dir: Path) -> dict[str, dict[str, str]]:
    """Return the settings with which every session is recorded."""
    if form is None:
        return {}
    folder = (state_dir / "recordings").absolute()
    return {"orchestrator": {"recording_dir": str(folder), "recording_form": form, "recorded_share": "1"}}


async def _run(options: Options, stop_event: asyncio.Event) -> None:
    """Start, show what runs where, and wait for the end."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    started = time.monotonic()
    async with running(options) as stack:
        stopping = asyncio.create_task(stop_event.wait())
        starting = asyncio.create_task(stack.start())
        await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            console.print(_table(stack, time.monotonic() - started, options.state_dir))
            print(f"ready {stack.url or '(no gateway)'}", flush=True)
            failing = asyncio.create_task(stack.failure())
            await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()
        await _cancel(starting, stopping)
        if sys.stdout.isatty():
            console.print("stopping …")


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _table(stack: Stack, seconds: float, state_dir: Path) -> Table:
    """Return what runs where."""
    table = Table(title=f"healthy after {seconds:.1f} s; logs in {state_dir / 'logs'}", title_justify="left")
    for heading in ("part", "pid", "addresses"):
        table.add_column(heading)
    for supervisor in stack.supervisors:
        addresses = "  ".join(f"{kind} {address}" for kind, address in supervisor.part.addresses.items())
        table.add_row(supervisor.part.name, str(supervisor.pid), addresses)
    return table
