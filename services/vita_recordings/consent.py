"""Which sessions are recorded, and how much of them: off unless an operator set a folder up."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from vita.recording.v1.recording_pb2 import FORM_FULL, FORM_REDACTED, FORM_UNSPECIFIED, Form

from vita_recordings.recorder import SessionTape, TurnRecorder
from vita_recordings.writer import Writer


@dataclass(frozen=True, slots=True)
class Consent:
    """What the operator allows."""

    form: Form = FORM_FULL  # the most that is granted
    tenants: Collection[str] = ()  # recorded without asking
    share: float = 0.0  # of all sessions, likewise; 0 to 1
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))  # so that no client can choose to be in it

    def granted(self, wish: Form, session_id: str, tenant_id: str) -> Form:
        """Return how a session is recorded; a client that wishes for less than is allowed gets less."""
        if wish == FORM_UNSPECIFIED and tenant_id not in self.tenants and not self._is_sampled(session_id):
            return FORM_UNSPECIFIED
        return FORM_REDACTED if FORM_REDACTED in (wish, self.form) else FORM_FULL

    def _is_sampled(self, session_id: str) -> bool:
        digest = hashlib.blake2b(session_id.encode(), key=self.salt, digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.share * 2**64


@dataclass(frozen=True, slots=True)
class Recordings:
    """Gives recorded sessions their tapes."""

    consent: Consent
    writer: Writer

    def tape_for(self, wish: Form, session_id: str, tenant_id: str) -> SessionTape | None:
        """See Tapes."""
        form = self.consent.granted(wish, session_id, tenant_id)
        if form == FORM_UNSPECIFIED:
            return None
        return TurnRecorder(form, session_id, tenant_id, self.writer.offer)
