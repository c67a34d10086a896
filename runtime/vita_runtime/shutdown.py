"""How a process runs and ends: uvloop, a graceful stop on SIGTERM and SIGINT, one line when it cannot start."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine

import uvloop

from vita_runtime.errors import StartupError

GRACE_S = 20.0  # turns in progress may end; the launcher and Kubernetes kill after more

Main = Callable[[asyncio.Event], Coroutine[object, object, None]]


def run(main: Main, *, grace_s: float = GRACE_S) -> None:
    """Run `main(stop)` to its end on uvloop and exit the process: 0, or 1 with one line on stderr.

    The first SIGTERM or SIGINT sets `stop`; `main` should then finish what it has and return. A second signal, or
    `grace_s` after the first, cancels it.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(main, grace_s))
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


async def _until_stopped(main: Main, grace_s: float) -> None:
    """Run `main` with the signals connected."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    task = loop.create_task(main(stop))

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        loop.call_later(grace_s, task.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    except BaseExceptionGroup as group:
        # A TaskGroup wraps what stopped it; a failure to start is still one line.
        startup = group.subgroup(StartupError)
        if startup is None:
            raise
        raise _first(startup) from group


def _first(group: BaseExceptionGroup[StartupError]) -> StartupError:
    """Return the first error inside nested groups."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
