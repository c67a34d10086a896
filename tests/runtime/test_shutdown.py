"""How a process ends: gracefully on a signal, by force on the second, with one line when it cannot start."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.unit

PREAMBLE = """
import asyncio
from vita_runtime import shutdown
from vita_runtime.errors import StartupError
"""


def start(program: str) -> subprocess.Popen[str]:
    """Run a program that prints "up" when its signals are connected."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n", process.stderr and process.stderr.read()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_the_work_end(number: int) -> None:
    process = start("""
        async def main(stop):
            print("up", flush=True)
            await stop.wait()
            await asyncio.sleep(0.05)
            print("done")
        shutdown.run(main)
    """)
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("done\n", "")
    assert process.returncode == 0


def test_the_second_signal_cancels_it() -> None:
    process = start("""
        async def main(stop):
            print("up", flush=True)
            try:
                await stop.wait()
                print("stopping", flush=True)
                await asyncio.sleep(60)
            finally:
                print("cleared up")
        shutdown.run(main)
    """)
    process.send_signal(signal.SIGTERM)
    assert process.stdout
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10) == ("cleared up\n", "")
    assert process.returncode == 0


def test_work_that_does_not_end_within_the_grace_is_cancelled() -> None:
    process = start("""
        async def main(stop):
            print("up", flush=True)
            await asyncio.sleep(60)
        shutdown.run(main, grace_s=0.1)
    """)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    process.communicate()


@pytest.mark.parametrize("how", ["raise StartupError('no port')", "await grouped()"])
def test_a_process_that_cannot_start_says_so_in_one_line(how: str) -> None:
    process = start(f"""
        async def fail():
            raise StartupError("no port")
        async def grouped():
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        async def main(stop):
            print("up", flush=True)
            {how}
        shutdown.run(main)
    """)
    assert process.communicate(timeout=10) == ("", "error: no port\n")
    assert process.returncode == 1
