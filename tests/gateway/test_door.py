"""Who is let in, and what everybody may ask: keys, hosts, origins, health, models."""

from __future__ import annotations

import json
import logging

import httpx
import pytest
import websockets
from starlette.datastructures import Headers
from vita_gateway.auth import Door
from vita_gateway.openai_errors import ApiError

from tests.gateway.fake_orchestrator import FakeOrchestrator
from tests.gateway.running import StartGateway

pytestmark = pytest.mark.unit

BODY = {"model": "vita", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic c2VjcmV0", "Bearer", "secret"])
async def test_without_the_right_key_there_is_only_health(
    start_gateway: StartGateway, authorization: str | None
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    gateway = start_gateway(api_key="secret")
    async with gateway as served, httpx.AsyncClient(base_url=served.url, headers=headers) as http:
        for path in ("/v1/models", "/openapi.json", "/nowhere"):
            assert (await http.get(path)).status_code == 401
        answer = await http.post("/v1/chat/completions", json=BODY)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await http.get(path)).status_code == 200
        with pytest.raises(websockets.InvalidStatus) as refused:
            await served.connect(additional_headers=headers)
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["error"]["type"] == "authentication_error"


async def test_the_right_key_opens_everything(start_gateway: StartGateway) -> None:
    headers = {"Authorization": "Bearer secret"}
    gateway = start_gateway(api_key="secret")
    async with gateway as served, httpx.AsyncClient(base_url=served.url, headers=headers) as http:
        assert (await http.get("/v1/models")).status_code == 200
        async with served.connect(additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["type"] == "session.created"


async def test_a_browser_sends_its_key_as_a_subprotocol_and_gets_its_protocol_back(
    start_gateway: StartGateway,
) -> None:
    names = ["realtime", "openai-insecure-api-key.secret", "openai-agents-sdk.0.20"]
    async with start_gateway(api_key="secret") as served:
        async with served.connect(subprotocols=names) as socket:
            assert socket.subprotocol == "realtime"
        with pytest.raises(websockets.InvalidStatus):
            await served.connect(subprotocols=["realtime", "openai-insecure-api-key.wrong"])


async def test_keys_and_words_are_in_no_log(start_gateway: StartGateway, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("hpack", "httpcore", "httpx", "websockets", "grpc"):
        caplog.set_level(logging.WARNING, logger=name)  # the clients' logs, not ours
    caplog.set_level(logging.DEBUG)
    async with start_gateway(api_key="geheim-key") as served:
        async with httpx.AsyncClient(base_url=served.url, headers={"Authorization": "Bearer geheim-key"}) as http:
            body = {**BODY, "messages": [{"role": "user", "content": "geheim"}]}
            await http.post("/v1/chat/completions?key=geheim-key", json=body)
        names = ["realtime", "openai-insecure-api-key.geheim-key"]
        async with served.connect("?key=geheim-key", subprotocols=names) as socket:
            await socket.recv()
    assert "request" in [record.getMessage() for record in caplog.records]
    assert "geheim" not in "".join(str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example", 403), ("127.0.0.1:80", 200), ("localhost", 200), ("", 403)]
)
async def test_a_name_that_is_not_ours_is_refused(http: httpx.AsyncClient, host: str, status: int) -> None:
    assert (await http.get("/v1/models", headers={"Host": host})).status_code == status
    assert (await http.get("/healthz", headers={"Host": host})).status_code == 200


async def test_a_page_of_another_origin_is_refused(start_gateway: StartGateway) -> None:
    async with start_gateway(allowed_origins=("https://app.example",)) as served:
        async with httpx.AsyncClient(base_url=served.url) as http:
            evil = await http.get("/v1/models", headers={"Origin": "https://evil.example"})
            good = await http.get("/v1/models", headers={"Origin": "https://app.example"})
            own = await http.get("/v1/models", headers={"Origin": served.url})
        assert (evil.status_code, good.status_code, own.status_code) == (403, 200, 200)
        assert evil.json()["error"]["code"] == "origin_not_allowed"
        assert good.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-origin" not in evil.headers
        with pytest.raises(websockets.InvalidStatus):
            await served.connect(additional_headers={"Origin": "https://evil.example"})
        async with served.connect(additional_headers={"Origin": served.url}) as socket:
            await socket.recv()


def test_a_bracketed_host_is_known_with_and_without_its_port() -> None:
    door = Door(None, ("[::1]",), ())
    door.check_host(Headers({"host": "[::1]:8080"}))
    door.check_host(Headers({"host": "[::1]"}))
    with pytest.raises(ApiError):
        door.check_host(Headers({"host": "[::2]:8080"}))


async def test_models_are_listed_and_found(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["vita"]
    assert (await http.get("/v1/models/vita")).json()["object"] == "model"
    missing = await http.get("/v1/models/gpt")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


async def test_what_is_not_there_is_said_in_the_clients_shape(http: httpx.AsyncClient) -> None:
    for answer, status in ((await http.get("/v1/nothing"), 404), (await http.get("/v1/chat/completions"), 405)):
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_readiness_is_the_orchestrators(start_gateway: StartGateway) -> None:
    async with start_gateway() as served, httpx.AsyncClient(base_url=served.url) as http:
        assert (await http.get("/readyz")).status_code == 200
        served.gateway.draining.set()
        assert (await http.get("/readyz")).status_code == 503
    nowhere = start_gateway(orchestrator_address="127.0.0.1:1")
    async with nowhere as served, httpx.AsyncClient(base_url=served.url) as http:
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200


async def test_metrics_count_requests_by_route_and_never_by_path(
    http: httpx.AsyncClient, fake: FakeOrchestrator
) -> None:
    await http.post("/v1/chat/completions", json=BODY)
    await http.get("/v1/secret-path")
    text = (await http.get("/metrics")).text
    assert 'vita_gateway_requests_total{route="/v1/chat/completions",status="200"}' in text
    assert "secret-path" not in text
