"""espeak-ng through its library, which tells when each word starts; ten times as fast as a process a sentence.

Library and voices are those of a wheel, pinned: the same everywhere, and nothing to install on the machine.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import espeakng_loader
import numpy as np
import soxr
from numpy.typing import NDArray

from vita15.config import SPEECH_IN_HZ

LEAD_MS, TAIL_MS = 25, 35  # kept around what is loud
SILENCE = 160  # of 32,768: quieter is silence

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the callback gets the samples
_RATE, _PITCH = 1, 3  # espeakRATE, espeakPITCH
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
class Voice:
    """A speaker and a manner of speaking, in espeak's terms."""

    accent: str
    variant: str
    words_per_minute: int
    pitch: int  # 0-99


@dataclass(frozen=True, slots=True)
class Spoken:
    """A spoken text."""

    samples: NDArray[np.int16]  # (S,) at 16 kHz, hardly any silence around it
    words: tuple[tuple[int, int], ...]  # (first character, sample) of the words that espeak tells: most of them


class _Said(NamedTuple):
    """What the library gave."""

    sound: NDArray[np.int16]  # (S,) at its own rate
    words: list[tuple[int, int]]  # first character and ms of each word, and of some pauses
    first_loud: int  # samples
    last_loud: int


class Library:
    """The library itself; one a process, since it keeps its state in globals."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0))
        if self.rate_hz <= 0:
            raise RuntimeError("espeak-ng did not start: is the package espeakng-loader whole?")
        self._blocks: list[NDArray[np.int16]] = []
        self._words: list[tuple[int, int]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, name: str, words_per_minute: int, pitch: int) -> _Said:
        """Speak a text with a voice of this name.

        Raises:
            RuntimeError: there is no such voice, or it says nothing.
        """
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {name}")
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # of breath and hiss, else the clock says
        self._blocks, self._words = [], []
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
        sound = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
        loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > SILENCE)
        if not len(loud):
            raise RuntimeError(f"espeak-ng said nothing for {text!r} as {name}")
        return _Said(sound, self._words, int(loud[0]), int(loud[-1]))

    def _receive(self, samples: _Samples, count: int, events: _Events) -> int:
        if count > 0 and samples:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _LIST_END:
            event = events[index]
            if event.type == _WORD:
                self._words.append((event.text_position - 1, event.audio_position))
            index += 1
        return 0


@cache
def library() -> Library:
    """Start the library in this process, once."""
    return Library()


def speak(text: str, voice: Voice) -> Spoken:
    """Speak a text at 16 kHz.

    Raises:
        RuntimeError: there is no such voice, or it says nothing.
    """
    rate_hz = library().rate_hz
    said = library().speak(text, f"{voice.accent}+{voice.variant}", voice.words_per_minute, voice.pitch)
    start = max(0, said.first_loud - LEAD_MS * rate_hz // 1000)
    end = said.last_loud + TAIL_MS * rate_hz // 1000
    samples = soxr.resample(said.sound[start:end], rate_hz, SPEECH_IN_HZ, quality="MQ")
    start_ms = start * 1000 / rate_hz
    words = [(0, 0)]
    for at, ms in said.words:
        sample = round((ms - start_ms) * SPEECH_IN_HZ / 1000)
        # A pause is told as a word too, at the comma, or in a place that has been spoken already.
        is_word = at > words[-1][0] and text[at - 1] == " "
        if is_word and words[-1][1] < sample < len(samples):
            words.append((at, sample))
    return Spoken(samples.astype(np.int16), tuple(words[1:]))


def speak_in_order(lines: Sequence[tuple[str, Voice]]) -> list[Spoken]:
    """Speak texts: in a new process always the same samples; later the library remembers what it said before."""
    return [speak(text, voice) for text, voice in lines]
