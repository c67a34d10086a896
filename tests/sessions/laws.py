"""What every session store must do. A test module gives the fixture `make_store` and inherits `StoreLaws`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import pytest
from vita.conversation.v1.conversation_service_pb2 import SessionConfiguration
from vita.conversation.v1.item_pb2 import ITEM_STATUS_COMPLETED, ROLE_ASSISTANT, ROLE_USER, ContentPart, Item
from vita.media.v1.media_pb2 import AudioClip, ImageFrame
from vita_runtime.errors import AlreadyExists, NotFound, SessionTaken
from vita_sessions.session import Entry, Mark, Session
from vita_sessions.store import Lifetimes, SessionStore

MakeStore = Callable[..., SessionStore]


def a_session(tenant_id: str = "tenant") -> Session:
    """A session with one turn: a spoken question about a picture, and its answer."""
    question = Item(item_id="q1", role=ROLE_USER, status=ITEM_STATUS_COMPLETED)
    question.parts.append(ContentPart(image=ImageFrame(content=b"\xff\xd8 a picture")))
    question.parts.append(ContentPart(audio=AudioClip(samples=b"\1\0" * 16000, sample_rate_hz=16000)))
    answer = Item(item_id="a1", role=ROLE_ASSISTANT, status=ITEM_STATUS_COMPLETED)
    answer.parts.append(ContentPart(text="A red circle. 红色。"))
    return Session(
        session_id=f"s_{uuid.uuid4().hex}",
        tenant_id=tenant_id,
        configuration=SessionConfiguration(instructions="Be brief.", temperature=0.0, max_tile_count=4),
        variants={"llm": "stable", "codec_decoder": "blue"},
        entries=[
            Entry(question, "turn_1"),
            Entry(answer, "turn_1", [Mark(13, 900), Mark(17, 1500)]),
        ],
        generation=3,
        sequence_number=17,
        turn_count=1,
        created_ms=1_700_000_000_000,
    )


class StoreLaws:
    """The laws, as tests."""

    async def test_what_was_created_is_read_back_whole(self, make_store: MakeStore) -> None:
        session = a_session()
        await make_store().create(session, "one")
        assert await make_store().load(session.session_id, "tenant") == session

    async def test_what_was_saved_is_read_back_whole(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        lease = await store.create(session, "one")
        session.entries[0].item.parts[0].image.content = b"another picture"
        session.add(Entry(Item(item_id="q2", parts=[ContentPart(text="And now?")]), "turn_2"))
        session.generation += 1
        await store.save(session, lease)
        assert await make_store().load(session.session_id, "tenant") == session

    async def test_a_removed_item_takes_its_media_with_it(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        lease = await store.create(session, "one")
        session.remove("q1")
        await store.save(session, lease)
        reread, relet = await make_store().open(session.session_id, "tenant", "two")
        assert (reread, relet.saved_media) == (session, set())

    async def test_an_id_in_use_is_refused(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        await store.create(session, "one")
        with pytest.raises(AlreadyExists):
            await store.create(session, "two")

    async def test_a_session_is_readable_by_its_tenant_alone(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session("ours")
        await store.create(session, "one")
        for attempt in (store.load, store.delete):
            with pytest.raises(NotFound):
                await attempt(session.session_id, "theirs")
        with pytest.raises(NotFound):
            await store.open(session.session_id, "theirs", "one")
        assert await store.load(session.session_id, "ours") == session

    async def test_a_session_that_never_was_is_not_found(self, make_store: MakeStore) -> None:
        with pytest.raises(NotFound):
            await make_store().open("s_nowhere", "tenant", "one")

    async def test_who_was_taken_over_can_neither_save_nor_renew(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        old = await store.create(session, "one")
        taken, new = await make_store().open(session.session_id, "tenant", "two")
        assert new.token > old.token
        session.generation = 99
        with pytest.raises(SessionTaken):
            await store.save(session, old)
        with pytest.raises(SessionTaken):
            await store.renew(old)
        await store.release(old)
        taken.generation = 4
        await store.save(taken, new)
        assert (await store.load(session.session_id, "tenant")).generation == 4

    async def test_of_many_who_open_at_once_exactly_one_can_save(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        await store.create(session, "zero")
        opened = await asyncio.gather(*(store.open(session.session_id, "tenant", f"owner {n}") for n in range(8)))
        assert len({lease.token for _, lease in opened}) == 8
        saved = await asyncio.gather(*(store.save(s, lease) for s, lease in opened), return_exceptions=True)
        assert sum(result is None for result in saved) == 1

    async def test_a_live_lease_stands_against_one_who_asks_politely(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        lease = await store.create(session, "one")
        with pytest.raises(SessionTaken):
            await store.open(session.session_id, "tenant", "two", is_takeover=False)
        await store.save(session, lease)
        await store.release(lease)
        await store.open(session.session_id, "tenant", "two", is_takeover=False)

    async def test_a_lease_runs_out_unless_renewed(self, make_store: MakeStore) -> None:
        store, session = make_store(Lifetimes(lease_s=0.6)), a_session()
        lease = await store.create(session, "one")
        await asyncio.sleep(0.35)
        await store.renew(lease)
        await asyncio.sleep(0.35)
        with pytest.raises(SessionTaken):
            await store.open(session.session_id, "tenant", "two", is_takeover=False)
        await asyncio.sleep(0.35)
        await store.save(session, lease)  # late, but nobody took it over
        await asyncio.sleep(0.7)
        await store.open(session.session_id, "tenant", "two", is_takeover=False)

    async def test_a_deleted_session_does_not_come_back(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        lease = await store.create(session, "one")
        await make_store().delete(session.session_id, "tenant")
        with pytest.raises(NotFound):
            await store.save(session, lease)
        with pytest.raises(NotFound):
            await store.renew(lease)
        with pytest.raises(AlreadyExists):
            await store.create(session, "one")
        with pytest.raises(NotFound):
            await store.load(session.session_id, "tenant")

    async def test_a_record_that_nobody_touches_is_forgotten(self, make_store: MakeStore) -> None:
        store, session = make_store(Lifetimes(record_s=0.5)), a_session()
        lease = await store.create(session, "one")
        await asyncio.sleep(0.3)
        await store.renew(lease)
        await asyncio.sleep(0.3)
        await store.load(session.session_id, "tenant")
        await asyncio.sleep(0.6)
        with pytest.raises(NotFound):
            await store.load(session.session_id, "tenant")

    async def test_a_record_of_eight_megabytes_goes_in_and_comes_out(self, make_store: MakeStore) -> None:
        store, session = make_store(), a_session()
        lease = await store.create(session, "one")
        for n in range(40):
            clip = AudioClip(samples=bytes([n]) * 320_000, sample_rate_hz=16000)
            session.add(Entry(Item(item_id=f"x{n}", parts=[ContentPart(audio=clip)]), "turn_2"))
        await store.save(session, lease)
        assert 7 * 2**20 < session.byte_count <= 8 * 2**20
        assert await store.load(session.session_id, "tenant") == session

    async def test_the_store_answers_a_ping(self, make_store: MakeStore) -> None:
        await make_store().ping()
