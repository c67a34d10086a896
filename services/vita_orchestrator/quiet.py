"""Quiet moments: nothing is being said, answered, played or judged, and all that was asked for is done.

There the microphone's end starts afresh, so that what comes next follows from the record and a few seconds of kept
sound alone. That makes a quiet moment the place where a recording begins. Whether anything is recorded changes nothing:
the moments are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vita.recording.v1.snapshot_pb2 import Medium, Snapshot
from vita.session.v1 import session_pb2
from vita_recordings.recorder import SessionTape
from vita_sessions.record import encode

from vita_orchestrator.desk import Desk
from vita_orchestrator.ear import Ear, HeardBefore
from vita_orchestrator.listening import Listening
from vita_orchestrator.responses import Responses
from vita_orchestrator.turn import State

# Silence is counted in sound, as all of endpointing is. So much of it at most stands before a recorded turn, and a
# detector that starts afresh so seldom misses nothing.
REFRESH_MS = 10_000


class QuietMoments:
    """Looks for them between one request and the next."""

    def __init__(self, desk: Desk, ear: Ear, listening: Listening, responses: Responses) -> None:
        self._desk, self._ear = desk, ear
        self._listening, self._responses = listening, responses
        self._is_first = True
        self._was_quiet = False
        self._since_ms = 0
        self._media: Mapping[str, bytes] = {}  # of the last snapshot: media never change

    def look(self, tape: SessionTape | None) -> None:
        """If this is a quiet moment, or the session's first, start afresh and let a recording begin."""
        if not self._is_first:
            if self._is_busy():
                return  # nobody knows
            if not self._is_quiet():
                self._was_quiet = False
                return
            if self._was_quiet and self._ear.now_ms - self._since_ms < REFRESH_MS:
                return
        self._is_first, self._was_quiet, self._since_ms = False, True, self._ear.now_ms
        self._ear.refresh()
        self._responses.forget_last()
        if tape is not None:
            tape.begin(self._snapshot())

    def _is_busy(self) -> bool:
        """Whether something is under way that nobody waits for."""
        desk = self._desk
        is_settling = desk.prefill_wanted.is_set() or not desk.keeper.is_idle
        return is_settling or not (desk.mailbox.is_empty and desk.outbox.is_empty)

    def _is_quiet(self) -> bool:
        is_listening = self._listening.utterance is not None or bool(self._listening.pictures)
        is_in_turn = self._desk.turn.state is not State.IDLE or bool(self._desk.turn_id)
        return not is_in_turn and not is_listening and self._ear.is_quiet and not self._responses.is_last_still_heard

    def _snapshot(self) -> Callable[[], Snapshot]:
        """Note what the session is; what takes time is left to whoever needs it."""
        record = encode(self._desk.session, self._media)
        known = {**self._media, **record.media}
        self._media = media = {media_id: known[media_id] for media_id in record.media_ids}
        heard, position = self._ear.heard(), self._desk.keeper.position
        return lambda: _snapshot(record.head, media, heard, position)


def _snapshot(head: bytes, media: Mapping[str, bytes], heard: HeardBefore, position: int) -> Snapshot:
    return Snapshot(
        session=session_pb2.Session.FromString(head),
        media=[Medium(media_id=media_id, content=content) for media_id, content in sorted(media.items())],
        kept_sound=heard.kept,
        received_ms=heard.received_ms,
        context_position=position,
    )
