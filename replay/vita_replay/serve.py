"""Serve component servers as a process: `python -m vita_replay.serve --component all --costs x1`.

Prints one line of JSON with the addresses by component once all listen, and serves until SIGTERM. Faults come in on
standard input, one a line: "llm hang", "llm heal", "llm slow 3", "llm garble text", "llm kill" or, to come back after
two seconds, "llm kill 2". Each is answered by "ok" or by what is wrong with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from vita_components.connect import NAMES
from vita_recordings.bundle import BadRecording, read
from vita_runtime import shutdown
from vita_runtime.errors import StartupError

from vita_replay.behaviour import Behaviour
from vita_replay.faults import Garbage
from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import costs_of
from vita_replay.modelled.llm import LlmSettings
from vita_replay.modelled.senses import SensesSettings
from vita_replay.modelled.voice import VoiceSettings
from vita_replay.pace import Pace
from vita_replay.recorded.components import Recorded


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--component", nargs="+", default=["all"], choices=[*NAMES, "all"])
    parser.add_argument("--listen", default="127.0.0.1:0", help="with port 0 each component gets one of its own")
    parser.add_argument("--costs", type=costs_of, default="x1", help="zero, or a factor: x1 (default), x10")
    parser.add_argument("--bundle", type=Path, help="answer from a recording; costs are for what it lacks")
    parser.add_argument("--answer", nargs="+", default=LlmSettings().answers, help="the n-th query gets the n-th")
    parser.add_argument("--codes-per-character", type=float, default=VoiceSettings().codes_per_character)
    parser.add_argument("--width", type=int, default=SensesSettings().width, help="of an embedding")
    return parser.parse_args()


def builder(given: argparse.Namespace) -> Callable[[str, Pace], Behaviour]:
    """Return what builds the components that the command line asks for. Raises StartupError."""
    modelled = Modelled(
        given.costs,
        SensesSettings(width=given.width),
        LlmSettings(answers=tuple(given.answer)),
        VoiceSettings(given.codes_per_character),
    )
    if given.bundle is None:
        return modelled.behaviour
    try:
        return Recorded(read(given.bundle), modelled).behaviour
    except (BadRecording, OSError) as error:
        raise StartupError(f"--bundle: {error}") from error


async def serve(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Serve until `stop`."""
    names = NAMES if "all" in given.component else tuple(given.component)
    build = builder(given)
    servers: dict[str, ComponentServer] = {}
    rehearsing: asyncio.Task[None] | None = None
    try:
        for name in names:
            pace = Pace()
            servers[name] = ComponentServer(name, build(name, pace), pace, given.listen)
            await servers[name].start()
        print(json.dumps({name: server.address for name, server in servers.items()}), flush=True)
        rehearsing = asyncio.create_task(_rehearse(servers))
        await stop.wait()
    except OSError as error:
        raise StartupError(str(error)) from error
    finally:
        if rehearsing is not None:
            rehearsing.cancel()
        for server in servers.values():
            await server.stop()


def spoil(servers: Mapping[str, ComponentServer], command: str) -> None:
    """Do what a line asks for. Raises ValueError: it asks for nothing that there is."""
    component, fault, *values = [*command.split(), "", ""][:4]
    if component not in servers:
        raise ValueError(f"there is no {component!r} here")
    server, value = servers[component], values[0]
    match fault:
        case "hang":
            server.faults.hang()
        case "heal":
            server.faults.heal()
        case "slow":
            server.faults.slow(float(value))
        case "garble":
            server.faults.garble(Garbage(value))
        case "kill":
            server.kill(float(value) if value else None)
        case _:
            raise ValueError(f"there is no fault {fault!r}")


async def _rehearse(servers: Mapping[str, ComponentServer]) -> None:
    """Spoil the servers as standard input says, until it ends."""
    lines = asyncio.StreamReader()
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    except (OSError, ValueError):  # no pipe and no terminal: nobody has anything to say
        return
    while line := (await lines.readline()).decode(errors="replace").strip():
        try:
            spoil(servers, line)
        except ValueError as error:
            print(f"error: {error}", flush=True)
        else:
            print("ok", flush=True)


def main() -> None:
    """Run the process."""
    given = arguments()
    shutdown.run(lambda stop: serve(given, stop))


if __name__ == "__main__":
    main()
