"""The one voice that speaks: espeak-ng through its library, with the time at which each word starts.

The library rather than the program, because only it reports word events: guided attention needs to know which word
is being spoken when. Pronunciation, speed and pitch are fixed, so a sentence always sounds the same.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soxr

from vita15.config import SPEECH_OUT_HZ

VOICE = b"en-us"
WORDS_PER_MINUTE = 155
LEAD_MS = 20  # silence kept before the first sound: an onset needs some room
TAIL_MS = 60  # and after the last, so that the end is heard as an end
SILENCE = 0.005  # of full scale: quieter is silence

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the callback gets the samples
_RATE = 1  # espeakRATE
_UTF8 = 1  # espeakCHARS_UTF8
_LIST_END, _WORD = 0, 1  # event types


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


if TYPE_CHECKING:  # these types exist for checkers only
    _Samples = ctypes._Pointer[ctypes.c_short]  # pyright: ignore[reportPrivateUsage]
    _Events = ctypes._Pointer[_Event]  # pyright: ignore[reportPrivateUsage]

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


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
    """The espeak-ng voice; one a process, since the library keeps its state in globals."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, 0))
        if self._rate_hz <= 0:
            raise RuntimeError("espeak-ng did not start: is the package espeak-ng-data installed?")
        self._library.espeak_SetVoiceByName(VOICE)
        self._library.espeak_SetParameter(_RATE, WORDS_PER_MINUTE, 0)
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._words: list[tuple[int, float]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str) -> SpokenClause:
        """Speak a clause, cutting the silence around it to `LEAD_MS` and `TAIL_MS`."""
        self._blocks, self._words = [], []
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
        sound = np.concatenate(self._blocks).astype(np.float32) / 32768
        loud = np.flatnonzero(np.abs(sound) > SILENCE)
        start = max(0, int(loud[0]) - LEAD_MS * self._rate_hz // 1000)
        end = int(loud[-1]) + TAIL_MS * self._rate_hz // 1000
        offset_s = start / self._rate_hz
        samples = soxr.resample(sound[start:end], self._rate_hz, SPEECH_OUT_HZ).astype(np.float32)
        duration_s = len(samples) / SPEECH_OUT_HZ
        heard = [(position, max(0.0, at_s - offset_s)) for position, at_s in self._words]
        return SpokenClause(text, samples, word_starts(text, heard, duration_s))

    def _receive(self, samples: _Samples, count: int, events: _Events) -> int:
        if count > 0 and samples:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _LIST_END:
            event = events[index]
            if event.type == _WORD:
                self._words.append((event.text_position - 1, event.audio_position / 1000))
            index += 1
        return 0
