"""Where sessions are kept, and who may write them.

A session is written by one process at a time: the one with its lease. Each lease carries a fencing token that rises
with every change of hands and is compared in the same step as the write, so a process that lost its lease without
noticing (a pause, a partition) cannot overwrite its successor's record. A new stream for a session always may take it
over: its client knows best where it is. Everything has a time to live.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from vita_sessions.session import Session


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things live without being touched."""

    record_s: float = 24 * 3600.0
    lease_s: float = 30.0  # renew at a third of it
    tombstone_s: float = 3600.0  # a deleted session cannot come back for so long


@dataclass(slots=True)
class Lease:
    """The right to write one session."""

    session_id: str
    tenant_id: str
    owner: str  # the holding process, for logs
    token: int
    saved_media: set[str] = field(default_factory=set[str])  # media the store holds: not written again


class SessionStore(Protocol):
    """Keeps sessions.

    Every call may raise StoreUnavailable: whether it took effect is then unknown, and it may be repeated.
    """

    async def create(self, session: Session, owner: str) -> Lease:
        """Keep a new session and take its lease.

        Raises:
            AlreadyExists: the id is in use, or was until lately.
        """
        ...

    async def open(
        self, session_id: str, tenant_id: str, owner: str, *, is_takeover: bool = True
    ) -> tuple[Session, Lease]:
        """Read a session and take its lease, from whoever holds it unless `is_takeover` is false.

        Raises:
            NotFound: there is no such session of this tenant.
            SessionTaken: another owner's lease is alive, and it was not to be taken over.
        """
        ...

    async def load(self, session_id: str, tenant_id: str) -> Session:
        """Read a session without its lease. Raises NotFound likewise."""
        ...

    async def save(self, session: Session, lease: Lease) -> None:
        """Write the session as it is now, evicting old media if it is too large, and renew the lease.

        A store that has lost the record gets all of it again.

        Raises:
            SessionTaken: the lease has changed hands; nothing was written.
            NotFound: the session was deleted; nothing was written.
        """
        ...

    async def renew(self, lease: Lease) -> None:
        """Keep the lease. Raises SessionTaken and NotFound as `save` does."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease back; one that was lost already is no error."""
        ...

    async def delete(self, session_id: str, tenant_id: str) -> None:
        """Forget a session and everything said in it. Raises NotFound: there is none of this tenant."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None:
        """Let go of connections; leases run out by themselves."""
        ...
