"""The parts of a stack: what to run, where it listens, and how to ask whether it works."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vita_runtime.launcher import probes
from vita_runtime.launcher.installation import Installation, triton_environment
from vita_runtime.launcher.ports import LOOPBACK

Probe = Callable[[], Awaitable[None]]  # returns, or raises probes.NotWell

TRITON_EXIT_S = 2  # on shutdown Triton waits this long for requests; the orchestrator, its only client, is gone by then
REDIS_MEMORY = "256mb"  # sessions are at most 8 MB each; when full, writes fail and are reported


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack, or one with its children."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]  # added to the launcher's own
    addresses: Mapping[str, str]  # as stack.json shows them
    first_request: Probe  # a real request, once, before the part counts as healthy
    ping: Probe  # cheap, through the same road, from then on
    shm_prefix: str = ""  # of its files in /dev/shm
    has_stub: bool = False  # its work is done by a child process, whose death the parent hides
    stop_after: int = 0  # parts with a lower number are stopped first


def redis_part(installation: Installation, folder: Path, socket: Path) -> Part:
    """Redis on a unix socket that only this user can open."""
    command = (
        *(str(installation.redis_server), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        # Kept on disk, in a folder that goes when the stack goes: sessions outlive a crash of Redis, not of the stack.
        *("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory", REDIS_MEMORY, "--maxmemory-policy", "noeviction", "--daemonize", "no"),
        # It would write its title over its environment, by which the reaper finds it.
        *("--set-proc-title", "no"),
    )

    async def ping() -> None:
        await probes.redis(socket)

    return Part("redis", command, {}, {"address": f"unix://{socket}"}, ping, ping, stop_after=2)


def triton_part(
    component: str, installation: Installation, repository: Path, ports: tuple[int, int, int], shm_prefix: str
) -> Part:
    """One component in a Triton server of its own, on loopback: gRPC, HTTP and metrics ports."""
    grpc, http, metrics = ports
    server = installation.tritonserver
    command = (
        *(str(server), f"--id={component}", f"--model-repository={repository}"),
        *(f"--backend-directory={installation.backends}", f"--cache-directory={server.parent.parent / 'caches'}"),
        *(f"--grpc-address={LOOPBACK}", f"--http-address={LOOPBACK}", f"--metrics-address={LOOPBACK}"),
        *(f"--grpc-port={grpc}", f"--http-port={http}", f"--metrics-port={metrics}", "--http-thread-count=2"),
        # Without it the stub is started twice, and torch with it.
        *("--disable-auto-complete-config", "--allow-gpu-metrics=false", f"--exit-timeout-secs={TRITON_EXIT_S}"),
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
    )
    addresses = {name: f"{LOOPBACK}:{port}" for name, port in zip(("grpc", "http", "metrics"), ports, strict=True)}
    target = addresses["grpc"]

    async def first_request() -> None:
        await probes.first_request(component, target)

    async def ping() -> None:
        await probes.triton_ping(component, target)

    environment = triton_environment()
    return Part(component, command, environment, addresses, first_request, ping, shm_prefix, True, stop_after=1)


def orchestrator_part(
    ports: tuple[int, int], redis_url: str, endpoints: Mapping[str, str], settings: Mapping[str, str]
) -> Part:
    """The orchestrator: gRPC, and HTTP for metrics and health."""
    grpc, metrics = (f"{LOOPBACK}:{port}" for port in ports)
    environment = {
        "VITA_ORCHESTRATOR_LISTEN": grpc,
        "VITA_ORCHESTRATOR_METRICS_LISTEN": metrics,
        "VITA_ORCHESTRATOR_REDIS_URL": redis_url,
        **{f"VITA_ORCHESTRATOR_{component.upper()}_ENDPOINTS": target for component, target in endpoints.items()},
        **{f"VITA_ORCHESTRATOR_{name.upper()}": value for name, value in settings.items()},
    }

    async def ready() -> None:
        await probes.grpc_health(grpc)

    async def live() -> None:
        await probes.http_ok(metrics, "/livez")

    command = (sys.executable, "-m", "vita_orchestrator.main")
    return Part("orchestrator", command, environment, {"grpc": grpc, "metrics": metrics}, ready, live)


def gateway_part(port: int, orchestrator: str) -> Part:
    """The gateway: HTTP and WebSocket."""
    listen = f"{LOOPBACK}:{port}"
    environment = {"VITA_GATEWAY_LISTEN": listen, "VITA_GATEWAY_ORCHESTRATOR_ADDRESS": orchestrator}

    async def ready() -> None:
        await probes.http_ok(listen, "/readyz")

    async def live() -> None:
        await probes.http_ok(listen, "/healthz")

    command = (sys.executable, "-m", "vita_gateway.main")
    return Part("gateway", command, environment, {"http": listen}, ready, live)
