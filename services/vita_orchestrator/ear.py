"""The microphone's end: keeps the last seconds of sound, judges voice, and says when the user speaks."""

from __future__ import annotations

from dataclasses import dataclass

from vita_orchestrator.endpointing import FRAME_MS, Decision, Endpointing, EndpointingLimits
from vita_orchestrator.hearing import BYTES_PER_MS
from vita_orchestrator.measures import WAITS
from vita_orchestrator.vad import VoiceActivity

KEPT_MS = 3000  # the longest prefix (2 s), a hold (0.3 s) and an onset (0.1 s)


@dataclass(frozen=True, slots=True)
class HeardBefore:
    """What a microphone has heard before, where a recording begins in the middle of a session."""

    kept: bytes = b""
    received_ms: float = 0.0


class Ear:
    """One session's microphone. Times count from the session's first sample."""

    def __init__(
        self, voice_activity: VoiceActivity, limits: EndpointingLimits, heard: HeardBefore | None = None
    ) -> None:
        before = heard or HeardBefore()
        self._voice_activity = voice_activity
        self._endpointing = Endpointing(limits)
        self._kept = bytearray(before.kept)
        self._received_ms = before.received_ms
        self._judged_ms = int(before.received_ms)

    @property
    def now_ms(self) -> int:
        """Sound received so far."""
        return int(self._received_ms)

    @property
    def is_quiet(self) -> bool:
        """Whether no voice is being followed, not even a suspected one."""
        return self._endpointing.is_quiet

    def heard(self) -> HeardBefore:
        """Return what is needed to hear on elsewhere, at a quiet moment."""
        return HeardBefore(bytes(self._kept), self._received_ms)

    def refresh(self) -> None:
        """Start afresh, as another ear would with what was `heard`: sound that is not judged yet never will be."""
        self._voice_activity.reset()
        self._judged_ms = int(self._received_ms)

    def close(self) -> None:
        """Hear nothing more."""
        self._voice_activity.close()

    @property
    def ended_ms(self) -> int:
        """Silence that ended the last utterance."""
        return self._endpointing.ended_ms

    @property
    def is_asking(self) -> bool:
        """Whether it is time to say if the sentence is finished."""
        return self._endpointing.is_asking

    @property
    def silent_ms(self) -> int:
        """How long ago, in sound received, the last voice was; sound that is not judged yet counts as silence."""
        return self._endpointing.silent_ms + max(0, self.now_ms - self._judged_ms)

    async def hear(self, samples: bytes) -> list[float]:
        """Take more sound; return the voice probabilities to be judged one by one."""
        self._keep(samples)
        return await self._voice_activity.probabilities(samples)

    def keep(self, samples: bytes) -> None:
        """Take more sound without judging it."""
        self._keep(samples)
        self._judged_ms = int(self._received_ms)  # else all of it would seem to lie behind a later onset

    def _keep(self, samples: bytes) -> None:
        self._received_ms += len(samples) / BYTES_PER_MS
        self._kept += samples
        del self._kept[: max(0, len(self._kept) - KEPT_MS * BYTES_PER_MS)]

    def judge(self, probability: float, *, is_answering: bool, finished: float | None = None) -> Decision | None:
        """Judge one frame; `finished` as in Endpointing.hear."""
        self._judged_ms += FRAME_MS
        waited_ms = self._endpointing.waited_ms
        decision = self._endpointing.hear(probability, is_answering=is_answering, finished=finished)
        if waited_ms and not self._endpointing.waited_ms:
            WAITS.labels("ended" if decision is Decision.ENDED else "resumed").observe(waited_ms / 1000)
        return decision

    def onset(self) -> tuple[bytes, int]:
        """Return the sound since the voice began, with what is kept from before it, and when that starts in ms."""
        age_ms = self._endpointing.onset_age_ms + self._endpointing.limits.prefix_ms
        unjudged_ms = max(0.0, self._received_ms - self._judged_ms)
        byte_count = min(len(self._kept), int(age_ms + unjudged_ms) * BYTES_PER_MS)
        sound = bytes(self._kept[len(self._kept) - byte_count :])
        return sound, int(self._received_ms - byte_count / BYTES_PER_MS)

    def reset(self) -> None:
        """Forget the voice that is being followed: its utterance is over."""
        self._endpointing.reset()

    def follow(self, limits: EndpointingLimits) -> None:
        """Follow other limits from now on."""
        self._endpointing.limits = limits

    def forget(self) -> None:
        """Forget the voice and the sound."""
        self.reset()
        self._kept.clear()
