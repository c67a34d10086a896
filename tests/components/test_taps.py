"""What passes a component is on the tape of the conversation that asked, and on no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
from vita.recording.v1 import recording_pb2 as pb
from vita_components.triton import Deadline, build_request
from vita_recordings import tape
from vita_recordings.tape import Content
from vita_runtime.errors import ComponentUnavailable, VitaError

from tests.components.conftest import MakePool, Serve
from tests.components.fake_triton import Died, response

pytestmark = pytest.mark.unit

REQUEST = build_request("llm", parameters={"op": "generate"})
REFUSAL = "ERROR_REASON_BAD_INPUT: no"


class Noted(NamedTuple):
    kind: pb.Kind
    content: Content
    call: int
    name: str


class NotingTape:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[Noted] = []
        self.calls = 0

    def note(
        self,
        edge: pb.Edge,
        kind: pb.Kind,
        content: Content = None,
        *,
        component: str = "",
        call: int = 0,
        name: str = "",
    ) -> None:
        assert (edge, component) == (pb.EDGE_COMPONENT, "llm")
        self.notes.append(Noted(kind, content, call, name))

    def new_call(self) -> int:
        self.calls += 1
        return self.calls

    def observe(self, name: str, value: Any) -> Any:
        return value

    def kinds(self) -> list[str]:
        return [pb.Kind.Name(note.kind).removeprefix("KIND_").lower() for note in self.notes]


@pytest.fixture
def noting() -> Iterator[NotingTape]:
    yield NotingTape()
    tape.use(None)


async def twice(request: Any) -> AsyncIterator[Any]:
    yield response()
    yield response()


async def dies(request: Any) -> AsyncIterator[Any]:
    raise Died
    yield


async def test_a_stream_is_noted_from_its_opening_to_its_end(
    serve: Serve, make_pool: MakePool, noting: NotingTape
) -> None:
    server = await serve(twice)
    pool = await make_pool("llm", [server])
    tape.use(noting)
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        for _ in range(2):
            await stream.expect(Deadline(5))
    assert noting.kinds() == ["opened", "request", "reply", "reply", "closed"]
    opened, request, reply, *_ = noting.notes
    assert opened.name == server.address
    assert (request.content, request.name) == (REQUEST, "generate")
    assert reply.content == response()
    assert {note.call for note in noting.notes} == {1}


async def test_a_request_with_one_reply_is_noted_likewise(
    serve: Serve, make_pool: MakePool, noting: NotingTape
) -> None:
    pool = await make_pool("llm", [await serve(twice)])
    tape.use(noting)
    async with pool.lend() as endpoint:
        await endpoint.infer(REQUEST, deadline_s=5)
    assert noting.kinds() == ["opened", "request", "reply", "closed"]


async def test_a_failure_is_noted_with_its_reason_and_the_components_words(
    serve: Serve, make_pool: MakePool, noting: NotingTape
) -> None:
    server = await serve(twice)
    pool = await make_pool("llm", [server])
    server.refusal = REFUSAL
    tape.use(noting)
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        with pytest.raises(VitaError):
            await stream.expect(Deadline(5))
    assert noting.kinds() == ["opened", "request", "failed", "closed"]
    assert noting.notes[2][1:] == (REFUSAL, 1, "ERROR_REASON_BAD_INPUT")


async def test_a_replica_that_dies_is_noted_once(serve: Serve, make_pool: MakePool, noting: NotingTape) -> None:
    pool = await make_pool("llm", [await serve(dies)])
    tape.use(noting)
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        with pytest.raises(ComponentUnavailable):
            await stream.expect(Deadline(5))
    assert noting.kinds() == ["opened", "request", "failed", "closed"]


async def test_pings_and_other_conversations_are_not_noted(
    serve: Serve, make_pool: MakePool, noting: NotingTape
) -> None:
    server = await serve(twice)
    tape.use(noting)
    tape.use(None)
    pool = await make_pool("llm", [server])
    async with pool.lend() as endpoint, endpoint.stream() as stream:
        await stream.send(REQUEST)
        await stream.expect(Deadline(5))
    assert server.ping_count
    assert not noting.notes
