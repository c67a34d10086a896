"""What a conversation has come to: what is seen, what was told, what was said last."""

from __future__ import annotations

from dataclasses import dataclass

from vita_training.world.question import Question
from vita_training.world.scene import Motion, Scene


@dataclass
class Situation:
    """The state that questions are asked in; topics that are told something change it."""

    scene: Scene | None = None  # what the last picture shows, or the first frame of the last video
    motion: Motion | None = None  # what moves in it; none in a picture
    has_tools: bool = False
    person: str = ""  # the user's name, once told
    number: str = ""  # to be remembered
    last: Question | None = None

    def look(self, scene: Scene, motion: Motion | None = None) -> None:
        """Another picture or video comes: "it" means nothing any more."""
        self.scene, self.motion, self.last = scene, motion, None
