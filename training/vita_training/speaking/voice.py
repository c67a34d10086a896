"""The one voice that speaks: espeak-ng through its library, with the time at which each word starts.

The library rather than the program, because only it reports word events: guided attention needs to know which word
is being spoken when. Pronunciation, speed and pitch are fixed, so a sentence always sounds the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from vita15.config import SPEECH_OUT_HZ
from vita_training.world.espeak import library

VOICE = "en-us"
WORDS_PER_MINUTE = 155
PITCH = 50  # of espeak's 0-99
LEAD_MS = 20  # silence kept before the first sound: an onset needs some room
TAIL_MS = 60  # and after the last, so that the end is heard as an end


@dataclass(frozen=True, slots=True)
class SpokenClause:
    """A spoken clause."""

    text: str
    samples: npt.NDArray[np.float32]  # (S,) in [-1, 1] at 24 kHz
    word_starts: tuple[tuple[int, float], ...]  # (first character in `text`, seconds), every word


def word_starts(text: str, heard: list[tuple[int, float]], duration_s: float) -> tuple[tuple[int, float], ...]:
    """Give every word a start, in order.

    espeak reports some pairs ("there is") as one word and pauses as words of no place; what it does not tell is
    interpolated over the characters.
    """
    places = [match.start() for match in re.finditer(r"[\w']+", text)]
    known: dict[int, float] = {places[0]: 0.0}
    for position, at_s in heard:
        if position in places and position > max(known) and at_s >= max(known.values()):
            known[position] = at_s
    times = np.interp(places, [*known, len(text)], [*known.values(), duration_s])
    return tuple(zip(places, (float(t) for t in times), strict=True))


class Voice:
    """The espeak-ng voice that is learnt."""

    def speak(self, text: str) -> SpokenClause:
        """Speak a clause, cutting the silence around it to `LEAD_MS` and `TAIL_MS`."""
        rate_hz = library().rate_hz
        said = library().speak(text, VOICE, WORDS_PER_MINUTE, PITCH)
        start = max(0, said.first_loud - LEAD_MS * rate_hz // 1000)
        sound = said.sound[start : said.last_loud + TAIL_MS * rate_hz // 1000].astype(np.float32) / 32768
        samples = soxr.resample(sound, rate_hz, SPEECH_OUT_HZ).astype(np.float32)
        heard = [(position, max(0.0, at_ms / 1000 - start / rate_hz)) for position, at_ms in said.words]
        return SpokenClause(text, samples, word_starts(text, heard, len(samples) / SPEECH_OUT_HZ))
