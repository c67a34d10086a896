"""What is wrong with a server, on cue: it hangs, is slow, answers garbage, or is gone (kserve.ComponentServer.kill)."""

from __future__ import annotations

import asyncio

from vita_replay.pace import Pace


class Faults:
    """The faults of one server; a server without any pays one look at `are_on` a message."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._going = asyncio.Event()
        self._going.set()
        self.are_on = False

    @property
    def is_hung(self) -> bool:
        """Nothing is taken and nothing is answered, pings neither; connections stay open."""
        return not self._going.is_set()

    def hang(self) -> None:
        """Stop answering."""
        self._going.clear()
        self.are_on = True

    def heal(self) -> None:
        """Be well again; what came in while the server hung is answered now."""
        self._pace.slow = 1.0
        self.are_on = False
        self._going.set()

    async def wait_while_hung(self) -> None:
        """Wait for as long as nothing goes on here."""
        await self._going.wait()
