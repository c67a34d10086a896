"""Eyes and ears of one session: pictures and sounds of the record as sources of rows for the context.

Sources are made lazily: most of a record is in the context already and is encoded again only when a context is rebuilt.
The rows of the latest sounds are kept, 7 KB of them a sound's 80 ms at full size, because a user who goes on speaking
or shows one more picture makes them needed again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from vita.media.v1.media_pb2 import IMAGE_DETAIL_HIGH, IMAGE_DETAIL_LOW, AudioClip, ImageFrame
from vita_runtime import tracing

from vita_orchestrator.components import Components, Embeddings
from vita_orchestrator.configuration import MAX_TILE_COUNT
from vita_orchestrator.context import RowSource
from vita_orchestrator.hearing import Hearing
from vita_orchestrator.history import Senses
from vita_orchestrator.patience import Haste, Losses, Outages, Patience
from vita_orchestrator.seeing import Sight
from vita_orchestrator.surroundings import Spawn

KEPT_SOUNDS = 8  # as many turns as the record keeps the sound of


class SessionSenses:
    """See history.Senses."""

    def __init__(
        self, components: Components, outages: Outages, spawn: Spawn, max_tile_count: Callable[[], int]
    ) -> None:
        self._components = components
        self._outages = outages
        self._spawn = spawn
        self._max_tile_count = max_tile_count
        self._sounds: OrderedDict[str, Hearing] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._losses = Losses(outages)
        self.traceparent = ""  # of the turn in progress

    def begin_turn(self) -> None:
        """A turn begins: what is lost now is known to be, and is worth waiting for. What failed gets another chance."""
        self._losses = Losses(self._outages)
        for hearing in list(self._sounds.values()):
            if hearing.has_failed:
                self.forget(hearing.item_id)

    def asked(self, asked_s: float) -> None:
        """The question is over, and somebody waits for the answer."""
        self._losses.asked_s = asked_s

    def haste(self) -> Patience:
        """Return no patience."""
        return Haste(self._outages)

    def patience(self) -> Patience:
        """Return a new patience for something in this turn."""
        return Patience(self._outages, self._losses)

    def hasty(self) -> Senses:
        """Return these senses for what is done before anybody asks."""
        return _HastySenses(self)

    def see(self, picture: ImageFrame) -> RowSource:
        """Return a picture's rows."""
        return self.sight(picture, self.patience)

    def sight(self, picture: ImageFrame, new_patience: Callable[[], Patience]) -> RowSource:
        """Return a picture's rows, waited for with such patience."""
        tiles = {IMAGE_DETAIL_LOW: 1, IMAGE_DETAIL_HIGH: MAX_TILE_COUNT}.get(picture.detail) or self._max_tile_count()
        return Sight(picture.content, tiles, self._components.vision_encoder, new_patience)

    def hear(self, item_id: str, sound: AudioClip) -> RowSource:
        """Return the rows of an item's sound."""
        return _Recalled(self, item_id, sound)

    def listen(self, item_id: str) -> Hearing:
        """Begin to hear an utterance."""
        hearing = Hearing(item_id, self._components.speech_encoder, self.patience())
        self._keep(hearing)
        return hearing

    def recall(self, item_id: str, sound: AudioClip) -> Hearing:
        """Return an item's hearing, hearing it again if need be."""
        hearing = self._sounds.get(item_id)
        if hearing is None:
            hearing = Hearing.recorded(item_id, sound.samples, self._components.speech_encoder, self.patience())
            self._keep(hearing)
        return hearing

    async def _run(self, hearing: Hearing) -> None:
        with tracing.span("speech_encoder", traceparent=self.traceparent):
            await hearing.run()

    def forget(self, item_id: str) -> None:
        """Stop hearing an utterance."""
        self._sounds.pop(item_id, None)
        task = self._tasks.pop(item_id, None)
        if task is not None:
            task.cancel()

    def _keep(self, hearing: Hearing) -> None:
        self.forget(hearing.item_id)
        self._sounds[hearing.item_id] = hearing
        self._tasks[hearing.item_id] = self._spawn(self._run(hearing))
        over = [item_id for item_id, kept in self._sounds.items() if kept.is_whole or kept.has_failed]
        for item_id in over[: max(0, len(self._sounds) - KEPT_SOUNDS)]:  # never one that is still being heard
            self.forget(item_id)


@dataclass(frozen=True, slots=True)
class _HastySenses:
    """See SessionSenses.hasty."""

    senses: SessionSenses

    def see(self, picture: ImageFrame) -> RowSource:
        return self.senses.sight(picture, self.senses.haste)

    def hear(self, item_id: str, sound: AudioClip) -> RowSource:
        return self.senses.hear(item_id, sound)


@dataclass(slots=True)
class _Recalled:
    """An item's sound, heard when it is asked for."""

    senses: SessionSenses
    item_id: str
    sound: AudioClip

    @property
    def is_whole(self) -> bool:
        return True

    async def rows(self, start: int) -> AsyncGenerator[Embeddings]:
        async with aclosing(self.senses.recall(self.item_id, self.sound).rows(start)) as rows:
            async for embeddings in rows:
                yield embeddings
