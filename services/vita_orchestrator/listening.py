"""The user's side of a turn: the utterance being spoken and the pictures shown with it, until they become an item."""

from __future__ import annotations

import asyncio

from vita.conversation.v1.item_pb2 import ITEM_STATUS_COMPLETED, ROLE_USER, ContentPart, Item
from vita.media.v1.media_pb2 import AUDIO_ENCODING_PCM_S16LE, AudioClip, ImageFrame
from vita_recordings.tape import observe

from vita_orchestrator.checks import INPUT_RATE_HZ
from vita_orchestrator.hearing import Hearing
from vita_orchestrator.history import Coming, picture_key
from vita_orchestrator.senses import SessionSenses
from vita_orchestrator.surroundings import Spawn


class Listening:
    """What the next item of the user's will be."""

    def __init__(self, senses: SessionSenses, spawn: Spawn, prefill_wanted: asyncio.Event) -> None:
        self._senses = senses
        self._spawn = spawn
        self._prefill_wanted = prefill_wanted
        self.utterance: Hearing | None = None
        self.pictures: list[ImageFrame] = []
        self._watching: asyncio.Task[None] | None = None

    @property
    def duration_ms(self) -> int:
        """Sound of the utterance so far; 0 without one."""
        return self.utterance.duration_ms if self.utterance is not None else 0

    def coming(self) -> Coming:
        """Return what the model may read already."""
        hearing = self.utterance
        return Coming(tuple(self.pictures), hearing.item_id if hearing else "", hearing)

    def open(self, item_id: str, sound: bytes) -> Hearing:
        """Begin an utterance with the sound there is."""
        self.utterance = hearing = self._senses.listen(item_id)
        self._prefill_wanted.set()  # what was said before is read, and a context opened, while the user speaks
        hearing.hear(sound)
        self._watching = self._spawn(self._watch_blocks(hearing))
        return hearing

    def hear(self, samples: bytes) -> None:
        """Take more of the utterance, if there is one."""
        if self.utterance is not None:
            self.utterance.hear(samples)

    def ask_finished(self, silent_ms: int) -> float | None:
        """Return the probability that what was said is a finished sentence; None: nobody knows.

        Which reply of the encoder's is the newest is chance, so the tape has the last word.

        Args:
            silent_ms: how long ago, in sound, the last voice was.
        """
        known = self.utterance.finished(silent_ms) if self.utterance is not None else None
        said = observe("finished", lambda: "" if known is None else f"{known:.3f}")
        return float(said) if said else None

    def see(self, picture: ImageFrame, bound: int) -> None:
        """Take a picture; of more than `bound` the oldest is outdated."""
        self.pictures.append(picture)
        del self.pictures[: max(0, len(self.pictures) - bound)]
        self._prefill_wanted.set()

    def close(self) -> Item:
        """End the utterance; return it as an item, its pictures first."""
        hearing, self.utterance = self.utterance, None
        assert hearing is not None, "only an utterance that began can end"
        hearing.end()
        item = Item(item_id=hearing.item_id, role=ROLE_USER, status=ITEM_STATUS_COMPLETED)
        item.parts.extend(ContentPart(image=picture) for picture in self.pictures)
        clip = AudioClip(
            samples=bytes(hearing.samples), sample_rate_hz=INPUT_RATE_HZ, encoding=AUDIO_ENCODING_PCM_S16LE
        )
        item.parts.append(ContentPart(audio=clip))
        self.pictures.clear()
        return item

    def forget(self) -> None:
        """Forget the utterance, not the pictures."""
        if self.utterance is not None:
            self._senses.forget(self.utterance.item_id)
            self.utterance = None
            if self._watching is not None:
                self._watching.cancel()  # no block comes any more: it would wait, and keep the sound
            self._prefill_wanted.set()

    def forget_picture(self, key: str) -> None:
        """Forget a picture that is none."""
        self.pictures[:] = [picture for picture in self.pictures if picture_key(picture) != key]

    async def _watch_blocks(self, hearing: Hearing) -> None:
        """Let a long utterance enter the context while it is still being spoken."""
        block = 1
        while not hearing.is_whole and not hearing.has_failed and hearing is self.utterance:
            await hearing.wait_for_block(block)
            self._prefill_wanted.set()
            block += 1
