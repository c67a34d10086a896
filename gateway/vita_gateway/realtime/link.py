"""A conversation that outlives its stream: when the orchestrator is lost, the session is resumed on the next one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from vita.conversation.v1 import conversation_service_pb2 as wire
from vita_runtime.errors import VitaError

from vita_gateway.auth import TENANT
from vita_gateway.client_edge import ClientEdge
from vita_gateway.converse import (
    RETRY_S,
    Conversation,
    ConversationLost,
    Metadata,
    Orchestrator,
    is_connection_failure,
)
from vita_gateway.observe import RESUMPTIONS

logger = logging.getLogger(__name__)

PARTING_S = 0.5  # longest wait for a recording's last words


@dataclass(frozen=True, slots=True)
class Connected:
    """The conversation is open, for the first time or again."""

    opened: wire.Opened


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream broke; it is being opened again."""


class Link:
    """One session's way to its conversation."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        metadata: Metadata,
        configuration: Callable[[], wire.SessionConfiguration],
        *,
        session_id: str = "",
        edge: ClientEdge,
    ) -> None:
        self.edge = edge
        self.session_id = session_id
        self._orchestrator = orchestrator
        self._metadata = metadata
        self._configuration = configuration
        self._conversation: Conversation | None = None
        self._connected = asyncio.Event()

    async def events(
        self, connect_s: float, resume_s: float
    ) -> AsyncGenerator[Connected | Lost | wire.ConverseResponse, None]:
        """Yield what the conversation says, and when its stream opens and breaks.

        Raises:
            VitaError: the conversation was refused, ended by the orchestrator, or not to be had back in time.
        """
        deadline_s = connect_s
        while True:
            is_resuming = deadline_s != connect_s
            async with self._orchestrator.converse(self._opening, self._metadata, deadline_s) as conversation:
                self._attach(conversation)
                if is_resuming:
                    RESUMPTIONS.labels("resumed").inc()
                    logger.info("conversation resumed", extra={"session_id": self.session_id})
                yield Connected(conversation.opened)
                try:
                    async for response in conversation.responses():
                        yield response
                except VitaError as failure:
                    if not is_connection_failure(failure):
                        raise
                    logger.warning("conversation lost", extra={"session_id": self.session_id})
                finally:
                    self._detach(conversation)
            yield Lost()
            await asyncio.sleep(RETRY_S)  # a service that ends every stream at once is not to be asked without pause
            deadline_s = resume_s

    async def send(self, request: wire.ConverseRequest, patience_s: float) -> None:
        """Send one request, waiting for the conversation to come back if it must.

        Raises:
            ConversationLost: it did not come back within `patience_s`.
        """
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    await self._connected.wait()
                    conversation = self._conversation
                    if conversation is None:
                        continue
                    try:
                        return await conversation.send(request)
                    except ConversationLost:
                        self._detach(conversation)
        except TimeoutError as error:
            raise ConversationLost("the connection to the conversation service was lost") from error

    async def report_client(self) -> None:
        """Tell a recorded conversation, after each answer, what passed between the client and us; until cancelled."""
        while True:
            await self._report(await self.edge.next_parcel())

    async def part(self) -> None:
        """The client has left: tell a recorded conversation the rest, if it takes it now."""
        if self.edge.is_recorded:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PARTING_S):
                    await self._report(self.edge.parcel())

    async def _report(self, parcel: wire.ConverseRequest) -> None:
        """Send what belongs to a recording; the session does not depend on it."""
        if self._conversation is not None:
            with contextlib.suppress(ConversationLost):
                await self._conversation.send(parcel)

    def _opening(self) -> wire.Open:
        return wire.Open(
            session_id=self.session_id,
            tenant_id=TENANT,
            configuration=self._configuration(),
            recording=self.edge.wish,
        )

    def _attach(self, conversation: Conversation) -> None:
        self.session_id = conversation.opened.session_id
        self._conversation = conversation
        self.edge.open(conversation.opened)
        self._connected.set()

    def _detach(self, conversation: Conversation) -> None:
        if self._conversation is conversation:
            self._conversation = None
            self._connected.clear()
