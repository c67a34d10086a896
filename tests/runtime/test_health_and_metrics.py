"""Health is one thing, shown over HTTP and gRPC alike; metrics stand beside it."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry, Counter
from vita_runtime import metrics
from vita_runtime.errors import StartupError
from vita_runtime.health import Health, grpc_servicer

pytestmark = pytest.mark.unit


async def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


def test_a_process_is_ready_when_all_it_needs_is_there() -> None:
    health = Health("store", "llm")
    health.mark("store")
    assert not health.is_ready
    health.mark("llm")
    assert health.is_ready
    health.mark("store", "connection refused")
    assert health.problems() == ["store: connection refused"]


def test_draining_is_for_good() -> None:
    health = Health("store")
    health.drain()
    health.mark("store")
    assert not health.is_ready
    assert health.problems() == ["draining"]


def test_listeners_hear_changes_only() -> None:
    health, heard = Health("a", "b"), list[bool]()
    health.when_changed(lambda: heard.append(health.is_ready))
    for need in ("a", "b", "b"):
        health.mark(need)
    health.mark("a", "gone")
    assert heard == [True, False]


async def test_http_shows_health_and_metrics() -> None:
    registry, health = CollectorRegistry(), Health("store")
    Counter("turns", "Turns.", registry=registry).inc()
    async with metrics.serve("127.0.0.1:0", health, registry) as port:
        assert await get(port, "/livez") == (200, "alive\n")
        assert await get(port, "/readyz") == (503, "store: not started\n")
        health.mark("store")
        assert await get(port, "/readyz?verbose") == (200, "ready\n")
        assert "turns_total 1.0" in (await get(port, "/metrics"))[1]
        assert (await get(port, "/"))[0] == 404
        assert (await get(port, "/metrics", "POST"))[0] == 405


async def test_a_taken_port_is_one_clear_line() -> None:
    async with metrics.serve("127.0.0.1:0", Health()) as port:
        with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port} for metrics"):
            async with metrics.serve(f"127.0.0.1:{port}", Health()):
                pass


async def test_grpc_health_says_the_same() -> None:
    health, server = Health("store"), grpc.aio.server()
    servicer, update = grpc_servicer(health, "vita.conversation.v1.ConversationService")
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        statuses: list[int] = []
        for problem in ("starting", "", "lost"):
            health.mark("store", problem)
            await update()
            statuses.append((await check(health_pb2.HealthCheckRequest(service=""))).status)
    await server.stop(None)
    answer = health_pb2.HealthCheckResponse
    assert statuses == [answer.NOT_SERVING, answer.SERVING, answer.NOT_SERVING]
