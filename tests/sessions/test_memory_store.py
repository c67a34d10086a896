"""The store in memory keeps the laws of every store."""

from __future__ import annotations

import pytest
from vita_sessions.memory_store import MemoryStore
from vita_sessions.store import Lifetimes, SessionStore

from tests.sessions.laws import MakeStore, StoreLaws, a_session

pytestmark = pytest.mark.unit


@pytest.fixture
def make_store() -> MakeStore:
    """Every call gives the one store: the memory is the process's."""
    stores: list[MemoryStore] = []

    def make(lifetimes: Lifetimes | None = None) -> SessionStore:
        if not stores:
            stores.append(MemoryStore(lifetimes))
        return stores[0]

    return make


class TestMemoryStore(StoreLaws):
    """As every store."""


async def test_a_session_outlives_a_store_that_lost_everything() -> None:
    store, session = MemoryStore(), a_session()
    lease = await store.create(session, "one")
    store.lose_everything()
    await store.renew(lease)
    await store.save(session, lease)
    assert await store.load(session.session_id, "tenant") == session
