"""Sessions in this process's memory: for tests, and for a single process that need not outlive itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vita_runtime.errors import AlreadyExists, NotFound, SessionTaken

from vita_sessions.record import Record, decode, encode
from vita_sessions.session import Session
from vita_sessions.store import Lease, Lifetimes


@dataclass(slots=True)
class _Kept:
    record: Record
    tenant_id: str
    token: int
    owner: str
    lease_until_s: float
    until_s: float


class MemoryStore:
    """A SessionStore in a dictionary; `now` is any clock in seconds."""

    def __init__(self, lifetimes: Lifetimes | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._lifetimes = lifetimes or Lifetimes()
        self._now = now
        self._kept: dict[str, _Kept] = {}
        self._tombstones: dict[str, float] = {}

    async def create(self, session: Session, owner: str) -> Lease:
        self._expire()
        if session.session_id in self._kept or session.session_id in self._tombstones:
            raise AlreadyExists("a session with this id exists", field="session_id", value=session.session_id)
        lease = Lease(session.session_id, session.tenant_id, owner, token=1)
        self._put(session, lease)
        return lease

    async def open(
        self, session_id: str, tenant_id: str, owner: str, *, is_takeover: bool = True
    ) -> tuple[Session, Lease]:
        kept = self._find(session_id, tenant_id)
        if not is_takeover and kept.owner not in ("", owner) and kept.lease_until_s > self._now():
            raise SessionTaken("another stream holds the session")
        kept.token += 1
        kept.owner = owner
        self._touch(kept)
        return decode(kept.record), Lease(session_id, tenant_id, owner, kept.token, set(kept.record.media_ids))

    async def load(self, session_id: str, tenant_id: str) -> Session:
        return decode(self._find(session_id, tenant_id).record)

    async def save(self, session: Session, lease: Lease) -> None:
        self._holding(lease)
        session.evict()
        self._put(session, lease)

    async def renew(self, lease: Lease) -> None:
        kept = self._holding(lease)
        if kept is not None:
            self._touch(kept)

    async def release(self, lease: Lease) -> None:
        kept = self._kept.get(lease.session_id)
        if kept is not None and kept.token == lease.token:
            kept.owner, kept.lease_until_s = "", 0.0

    async def delete(self, session_id: str, tenant_id: str) -> None:
        self._find(session_id, tenant_id)
        del self._kept[session_id]
        self._tombstones[session_id] = self._now() + self._lifetimes.tombstone_s

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def lose_everything(self) -> None:
        """Forget all, as a restarted store without persistence does; for tests."""
        self._kept.clear()
        self._tombstones.clear()

    def _put(self, session: Session, lease: Lease) -> None:
        record = encode(session)
        kept = _Kept(record, session.tenant_id, lease.token, lease.owner, 0.0, 0.0)
        self._touch(kept)
        self._kept[session.session_id] = kept
        lease.saved_media = set(record.media_ids)

    def _touch(self, kept: _Kept) -> None:
        kept.lease_until_s = self._now() + self._lifetimes.lease_s
        kept.until_s = self._now() + self._lifetimes.record_s

    def _find(self, session_id: str, tenant_id: str) -> _Kept:
        self._expire()
        kept = self._kept.get(session_id)
        if kept is None or kept.tenant_id != tenant_id:
            raise NotFound("no such session", field="session_id", value=session_id)
        return kept

    def _holding(self, lease: Lease) -> _Kept | None:
        self._expire()
        if lease.session_id in self._tombstones:
            raise NotFound("the session was deleted", field="session_id", value=lease.session_id)
        kept = self._kept.get(lease.session_id)
        if kept is not None and kept.token != lease.token:
            raise SessionTaken("another stream took the session over")
        return kept

    def _expire(self) -> None:
        now = self._now()
        self._kept = {key: kept for key, kept in self._kept.items() if kept.until_s > now}
        self._tombstones = {key: until for key, until in self._tombstones.items() if until > now}
