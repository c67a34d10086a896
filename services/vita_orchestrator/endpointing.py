"""When the user speaks, and when they have finished: voice probabilities in, decisions out. No I/O, no clock.

Time is counted in voice-activity frames, that is in the sound itself, so the decisions do not depend on how the sound
arrives. Two onsets are told apart. While nobody answers, an utterance starts after `MIN_SPEECH_MS` of voice: shorter
blips are dropped unheard. While an answer runs, a voice first only *holds* it (after two frames, so that the listener
perceives no delay), and is then confirmed by enough voice or rejected by silence or by time.

Silence ends an utterance. Where the speech encoder says whether what was heard is a finished sentence
(vita15/turn_end.py), one that is not is given more time. It is asked once in a silence, at the moment at which silence
alone would end the utterance, or after `ASKED_MS` if that is sooner: long enough after the voice to have heard the
pause, and never deeper in it than it was taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

FRAME_SAMPLES = 512  # what the silero model takes at 16 kHz
SAMPLE_RATE_HZ = 16_000
FRAME_MS = FRAME_SAMPLES * 1000 // SAMPLE_RATE_HZ  # 32
MIN_SPEECH_MS = 100  # less voice than this is a click, a tap, a breath
HOLD_MS = 64  # two frames: one alone may be a glitch of the detector
CONFIRM_MS = 240  # voiced; a cough's voiced part is shorter (measured on synthetic ones: 100-200 ms)
HOLD_LIMIT_MS = 280  # keeps the gap that a rejected hold leaves under 300 ms
REJECT_SILENCE_MS = 96  # three quiet frames within a hold: the voice is gone
FINISHED = 0.5  # probability from which a sentence is taken to be finished
ASKED_MS = 500  # of silence, at which that is asked at the latest: the head is taught pauses of 200 to 600 ms
UNFINISHED_SILENCE_MS = (
    1500  # behind a sentence that is not: who looks for a word is done, who has gone is not waited for
)
HYSTERESIS = 0.15  # speech goes on down to threshold - this, as silero's own iterator does


class Decision(Enum):
    """What the ear concludes."""

    STARTED = auto()  # an utterance began (nobody was answering)
    SUSPECTED = auto()  # a voice over an answer: hold it
    CONFIRMED = auto()  # that voice is speech: interrupt
    REJECTED = auto()  # that voice was nothing: go on
    ENDED = auto()  # silence ended the utterance


@dataclass(frozen=True, slots=True)
class EndpointingLimits:
    """How a conversation wants its turns cut."""

    threshold: float = 0.5
    prefix_ms: int = 300
    silence_ms: int = 500
    unfinished_ms: int = UNFINISHED_SILENCE_MS  # behind a sentence that is not finished, if that is more


def silence_that_ends_ms(finished: float | None, limits: EndpointingLimits) -> int:
    """Return how much silence ends an utterance.

    Args:
        finished: probability that what was heard so far is a finished sentence; None: nobody knows.
        limits: how much ends it if it is one, or if nobody knows, and how much if it is not.
    """
    if finished is None or finished >= FINISHED:
        return limits.silence_ms
    return max(limits.silence_ms, limits.unfinished_ms)


class _Phase(Enum):
    QUIET = auto()
    SUSPECT = auto()
    SPEECH = auto()


class Endpointing:
    """Follows one microphone, frame by frame."""

    def __init__(self, limits: EndpointingLimits) -> None:
        self.limits = limits
        self._phase = _Phase.QUIET
        self._voiced_ms = 0
        self._silent_ms = 0
        self._suspect_ms = 0
        self._age_ms = 0
        self._ending_ms: int | None = None  # silence that ends the utterance, once that is decided
        self.ended_ms = limits.silence_ms  # silence that ended the last utterance

    @property
    def silent_ms(self) -> int:
        """Silence since the last voice."""
        return self._silent_ms

    @property
    def is_asking(self) -> bool:
        """Whether the next frame, if it is silent, asks if the sentence is finished, and that makes a difference."""
        is_due = self._ending_ms is None and self._silent_ms + FRAME_MS >= self._asked_ms
        return self.is_speech and is_due and self.limits.unfinished_ms > self.limits.silence_ms

    @property
    def waited_ms(self) -> int:
        """Silence that only an unfinished sentence is given, so far."""
        is_waiting = self._ending_ms is not None and self._ending_ms > self.limits.silence_ms
        return max(0, self._silent_ms - self.limits.silence_ms) if is_waiting else 0

    @property
    def onset_age_ms(self) -> int:
        """How long ago, in sound, the voice began that is being followed."""
        return self._age_ms

    @property
    def is_speech(self) -> bool:
        """Whether an utterance is open."""
        return self._phase is _Phase.SPEECH

    @property
    def is_quiet(self) -> bool:
        """Whether no voice is being followed, nor the first frame of one."""
        return self._phase is _Phase.QUIET and self._voiced_ms == 0

    def reset(self) -> None:
        """Forget the utterance, as when the client commits or clears it."""
        self._phase = _Phase.QUIET
        self._voiced_ms = self._silent_ms = self._suspect_ms = self._age_ms = 0
        self._ending_ms = None

    def hear(self, probability: float, *, is_answering: bool, finished: float | None = None) -> Decision | None:
        """Take one frame's voice probability; return what follows from it, if anything.

        Args:
            probability: of voice in the frame.
            is_answering: an answer is being spoken.
            finished: the latest probability that what was heard so far is a finished sentence, where that is known.
        """
        is_voiced = probability >= self._floor()
        self._age_ms += FRAME_MS
        if is_voiced:
            self._voiced_ms += FRAME_MS
            self._silent_ms = 0
        else:
            self._silent_ms += FRAME_MS
        if self._phase is _Phase.SPEECH:
            return self._in_speech(finished)
        if self._phase is _Phase.SUSPECT:
            return self._in_suspicion()
        return self._in_quiet(is_voiced, is_answering)

    @property
    def _asked_ms(self) -> int:
        return min(self.limits.silence_ms, ASKED_MS)

    def _floor(self) -> float:
        is_open = self._phase is not _Phase.QUIET
        return self.limits.threshold - HYSTERESIS if is_open else self.limits.threshold

    def _in_quiet(self, is_voiced: bool, is_answering: bool) -> Decision | None:
        if not is_voiced:
            self._voiced_ms = self._age_ms = 0
            return None
        if is_answering and self._voiced_ms >= HOLD_MS:
            self._phase = _Phase.SUSPECT
            self._suspect_ms = 0
            return Decision.SUSPECTED
        if not is_answering and self._voiced_ms >= MIN_SPEECH_MS:
            self._phase = _Phase.SPEECH
            return Decision.STARTED
        return None

    def _in_suspicion(self) -> Decision | None:
        self._suspect_ms += FRAME_MS
        if self._voiced_ms >= CONFIRM_MS:
            self._phase = _Phase.SPEECH
            return Decision.CONFIRMED
        is_out_of_time = self._suspect_ms + FRAME_MS > HOLD_LIMIT_MS
        if self._silent_ms >= REJECT_SILENCE_MS or is_out_of_time:
            self.reset()
            return Decision.REJECTED
        return None

    def _in_speech(self, finished: float | None) -> Decision | None:
        if self._silent_ms < self._asked_ms:
            self._ending_ms = None
            return None
        if self._ending_ms is None:
            self._ending_ms = silence_that_ends_ms(finished, self.limits)
        if self._silent_ms < self._ending_ms:
            return None
        self.ended_ms = self._ending_ms
        self.reset()
        return Decision.ENDED
