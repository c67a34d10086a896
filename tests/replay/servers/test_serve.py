"""Component servers as a process, and as whoever starts Triton sees them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from vita_components.connect import NAMES
from vita_replay.kserve import counts
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import REALISTIC
from vita_runtime.launcher import probes

from tests.replay.servers.conftest import serving

pytestmark = pytest.mark.unit


async def test_the_launchers_probes_take_the_servers_for_tritons() -> None:
    async with serving(Modelled(REALISTIC).behaviour) as servers:
        for name, server in servers.items():
            await probes.grpc_health(server.address)
            await probes.first_request(name, server.address)
        async with asyncio.timeout(1):  # the probes' cancellations arrive by and by
            while any(server.open_calls for server in servers.values()):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.01)


async def test_a_hung_model_does_not_answer_a_ping_and_its_server_says_it_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "DEADLINE_S", 0.2)
    async with serving(Modelled(REALISTIC).behaviour) as servers:
        servers["llm"].faults.hang()
        await probes.grpc_health(servers["llm"].address)
        with pytest.raises(probes.NotWell, match="no answer"):
            await asyncio.wait_for(probes.triton_ping("llm", servers["llm"].address), 5)


async def started(*arguments: str) -> asyncio.subprocess.Process:
    """Start the process."""
    command = (sys.executable, "-m", "vita_replay.serve", *arguments)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)


async def said(process: asyncio.subprocess.Process) -> str:
    """Its next line."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


async def asked(process: asyncio.subprocess.Process, line: str) -> str:
    """Its answer to a line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    return await said(process)


async def test_a_process_says_its_addresses_takes_faults_and_ends_when_told() -> None:
    process = await started("--costs", "zero", "--component", "llm", "codec_decoder")
    try:
        addresses: Mapping[str, str] = json.loads(await said(process))
        assert set(addresses) == {"llm", "codec_decoder"} < set(NAMES)
        await probes.first_request("codec_decoder", addresses["codec_decoder"])
        assert await counts(addresses["codec_decoder"], "codec_decoder") == (1, 4)
        assert await asked(process, "llm garble text") == "ok"
        assert "ear" in await asked(process, "ear hang")
        assert "nap" in await asked(process, "llm nap")
        assert "error" in await asked(process, "llm slow down")
        assert await asked(process, "codec_decoder kill 0.1") == "ok"
        await asyncio.sleep(0.5)
        assert await counts(addresses["codec_decoder"], "codec_decoder") == (1, 4)
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_process_that_cannot_start_says_why_in_a_line(tmp_path: Path) -> None:
    process = await started("--bundle", str(tmp_path))
    _, problem = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert problem.decode().startswith("error: --bundle")
    assert problem.count(b"\n") == 1
