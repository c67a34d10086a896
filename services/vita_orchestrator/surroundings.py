"""What a conversation is given by its process: components, policy, clock, identifiers, chance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from vita_orchestrator.components import Components
from vita_orchestrator.ear import HeardBefore
from vita_orchestrator.patience import Outages
from vita_orchestrator.policy import Policy
from vita_orchestrator.vad import VoiceActivityFactory

Spawn = Callable[[Coroutine[object, object, None]], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Shared by all conversations of a process."""

    components: Components
    outages: Outages  # holds the clock
    policy: Policy
    new_voice_activity: VoiceActivityFactory
    new_id: Callable[[str], str]  # kind → an id that no other has
    draw_seed: Callable[[], int]
    heard_before: Callable[[str], HeardBefore | None] = lambda _: None  # of a session; only a replay knows it

    def now(self) -> float:
        """Return the time in seconds, from any start."""
        return self.outages.now()
