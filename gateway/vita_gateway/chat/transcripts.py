"""What earlier answers said, by the id of their sound, for as long as clients may refer to them.

A client's next request holds the id in place of the words. Kept in this process: a request that reaches another gateway
gets a clear error, and clients that send the words instead are never affected.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

LIFETIME_S = 3600  # what `expires_at` tells the client
CAPACITY = 10_000  # answers of a few hundred bytes: some megabytes


@dataclass(frozen=True, slots=True)
class _Kept:
    tenant: str
    transcript: str
    expires_at_s: float


class TranscriptCache:
    """Transcripts by audio id; the oldest make room."""

    def __init__(self, now: Callable[[], float] = time.time, capacity: int = CAPACITY) -> None:
        self._now = now
        self._capacity = capacity
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def put(self, tenant: str, audio_id: str, transcript: str) -> int:
        """Keep a transcript; return when it expires, in whole seconds since 1970."""
        expires_at_s = self._now() + LIFETIME_S
        self._kept[audio_id] = _Kept(tenant, transcript, expires_at_s)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return int(expires_at_s)

    def get(self, tenant: str, audio_id: str) -> str | None:
        """Return the transcript, or None when it is unknown, another tenant's, or expired."""
        kept = self._kept.get(audio_id)
        if kept is None or kept.tenant != tenant or kept.expires_at_s <= self._now():
            return None
        return kept.transcript
