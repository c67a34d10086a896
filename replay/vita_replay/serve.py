"""Serve modelled components as a process: `python -m vita_replay.serve --component all --costs x1`.

Prints one line of JSON with the addresses by component once all listen, and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json

from vita_components.connect import NAMES
from vita_runtime import shutdown
from vita_runtime.errors import StartupError

from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import costs_of
from vita_replay.modelled.llm import LlmSettings
from vita_replay.modelled.senses import SensesSettings
from vita_replay.modelled.voice import VoiceSettings
from vita_replay.pace import Pace


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--component", nargs="+", default=["all"], choices=[*NAMES, "all"])
    parser.add_argument("--listen", default="127.0.0.1:0", help="with port 0 each component gets one of its own")
    parser.add_argument("--costs", type=costs_of, default="x1", help="zero, or a factor: x1 (default), x10")
    parser.add_argument("--answer", nargs="+", default=LlmSettings().answers, help="the n-th query gets the n-th")
    parser.add_argument("--codes-per-character", type=float, default=VoiceSettings().codes_per_character)
    parser.add_argument("--width", type=int, default=SensesSettings().width, help="of an embedding")
    return parser.parse_args()


def modelled(given: argparse.Namespace) -> Modelled:
    """How the components answer, by the command line."""
    return Modelled(
        given.costs,
        SensesSettings(width=given.width),
        LlmSettings(answers=tuple(given.answer)),
        VoiceSettings(given.codes_per_character),
    )


async def serve(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Serve until `stop`."""
    names = NAMES if "all" in given.component else tuple(given.component)
    servers: dict[str, ComponentServer] = {}
    try:
        for name in names:
            pace = Pace()
            servers[name] = ComponentServer(name, modelled(given).behaviour(name, pace), pace, given.listen)
            await servers[name].start()
        print(json.dumps({name: server.address for name, server in servers.items()}), flush=True)
        await stop.wait()
    except OSError as error:
        raise StartupError(str(error)) from error
    finally:
        for server in servers.values():
            await server.stop()


def main() -> None:
    """Run the process."""
    given = arguments()
    shutdown.run(lambda stop: serve(given, stop))


if __name__ == "__main__":
    main()
