"""uvicorn's WebSocket protocol with two changes: a text that is not UTF-8 reaches the application, and a dead peer is
let go of.

uvicorn closes the connection on the first (as the standard asks) and waits for the second to read for as long as TCP
does. A session should outlive one broken message, and a gateway the clients that never come back.
"""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT_S = 5.0  # after the application is done: time for the close frame to get through


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """See the module."""

    def send_receive_event_to_app(self) -> None:
        """Hand over a message; bytes where a text is not one."""
        if self.curr_msg_data_type == "text":
            content = b"".join(self.frames)
            try:
                content.decode()
            except UnicodeDecodeError:
                self.frames = [content]
                self.curr_msg_data_type = "bytes"
        super().send_receive_event_to_app()

    async def run_asgi(self) -> None:
        """Run the application for this connection, and drop the connection soon after it has ended."""
        await super().run_asgi()
        self.loop.call_later(ABORT_S, self.transport.abort)
