"""Keeps a session's record in the store, off the conversation's way, and its lease alive.

A store that is away costs nothing but time: the newest state is written when it is back. A lease that was taken over
ends the conversation, for its client is served elsewhere.
"""

from __future__ import annotations

import asyncio
import logging

from vita_runtime.errors import NotFound, SessionTaken, StoreUnavailable
from vita_sessions.session import Session
from vita_sessions.store import Lease, SessionStore

RENEW_S = 10.0  # a third of the lease
RETRY_S = 0.5
FINAL_SAVE_S = 2.0  # a stream that ends waits no longer for its store

logger = logging.getLogger(__name__)


class Saver:
    """Writes one session whenever it has changed."""

    def __init__(self, store: SessionStore, session: Session, lease: Lease) -> None:
        self._store = store
        self._session = session
        self._lease = lease
        self._changed = asyncio.Event()

    def note(self) -> None:
        """The session has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Save and renew until cancelled.

        Raises:
            SessionTaken: another stream has the session.
            NotFound: it was deleted.
        """
        while True:
            try:
                async with asyncio.timeout(RENEW_S):
                    await self._changed.wait()
            except TimeoutError:
                await self._renew()
            else:
                await self._save()

    async def finish(self) -> None:
        """Write what is not yet written, and give the lease back."""
        try:
            async with asyncio.timeout(FINAL_SAVE_S):
                if self._changed.is_set():
                    await self._store.save(self._session, self._lease)
                await self._store.release(self._lease)
        except (StoreUnavailable, SessionTaken, NotFound, TimeoutError) as error:
            logger.warning("session not saved at its end", extra={"reason": type(error).__name__})

    async def _save(self) -> None:
        self._changed.clear()
        try:
            await self._store.save(self._session, self._lease)
        except StoreUnavailable:
            logger.warning("session store is away, saving again soon")
            self._changed.set()
            await asyncio.sleep(RETRY_S)

    async def _renew(self) -> None:
        try:
            await self._store.renew(self._lease)
        except StoreUnavailable:
            logger.warning("session store is away, lease not renewed")
