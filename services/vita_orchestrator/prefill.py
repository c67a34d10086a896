"""What was seen, heard or written enters the model's context before anybody asks, so that the answer need not wait."""

from __future__ import annotations

import asyncio
import logging

from vita.conversation.v1.item_pb2 import Item
from vita.media.v1.media_pb2 import ImageFrame
from vita_runtime import tracing
from vita_runtime.errors import BadMedia, ContextFull, VitaError

from vita_orchestrator.context import Part
from vita_orchestrator.desk import Desk
from vita_orchestrator.history import picture_key, plan
from vita_orchestrator.listening import Listening
from vita_orchestrator.patience import LOST

logger = logging.getLogger(__name__)

RETRY_S = 0.3  # with a lost component; an answer does not depend on it
MAX_SENDERS = 64  # pictures whose sender is remembered: more than a session has on their way


class Prefill:
    """Runs beside a conversation."""

    def __init__(self, desk: Desk, listening: Listening) -> None:
        self._desk = desk
        self._listening = listening
        self._senders: dict[str, str] = {}  # picture → the request that brought it

    def sent(self, picture: ImageFrame, client_event_id: str) -> None:
        """Note which request brought a picture: it is told should the picture be none."""
        self._senders[picture_key(picture)] = client_event_id
        if len(self._senders) > MAX_SENDERS:
            del self._senders[next(iter(self._senders))]

    def sent_item(self, item: Item, client_event_id: str) -> None:
        """Note likewise for an item's pictures."""
        for part in item.parts:
            if part.HasField("image"):
                self.sent(part.image, client_event_id)

    async def run(self) -> None:
        """Settle the context whenever something wants it, until cancelled."""
        wanted = self._desk.prefill_wanted
        while True:
            await wanted.wait()
            wanted.clear()
            try:
                with tracing.span("prefill", traceparent=self._desk.senses.traceparent):
                    await self._desk.keeper.settle(self._plan)
            except BadMedia as error:
                self._desk.mailbox.post(lambda error=error: self._refuse(error))
            except ContextFull:
                logger.info("context is full; the next answer will say so")
            except LOST:
                asyncio.get_running_loop().call_later(RETRY_S, wanted.set)
            except VitaError as error:  # a full or faulty component is the answer's trouble, if one is asked for
                logger.warning("prefill failed; an answer will try again", extra={"reason": error.reason})

    def _plan(self) -> list[Part]:
        desk = self._desk
        return plan(desk.configuration, desk.session.entries, desk.senses.hasty(), self._listening.coming())

    async def _refuse(self, error: BadMedia) -> None:
        """Forget a picture that is none, and tell who sent it."""
        key = self._desk.keeper.refused_key
        self._listening.forget_picture(key)
        await self._desk.items.forget_picture(key)
        await self._desk.fail(error, self._senders.pop(key, ""))
        self._desk.record_changed()
