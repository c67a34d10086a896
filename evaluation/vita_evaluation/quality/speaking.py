"""Speaking: held-out clauses in our voice, freely generated as when served, and what a recogniser makes of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from vita_orchestrator.windows import Windows
from vita_training.speaking.clauses import words
from vita_training.speaking.corpus import Sound, speak_all
from vita_training.speaking.free_running import Take
from vita_training.speaking.intelligibility import Listener

from vita15.checkpoint import load_manifest
from vita15.config import SPEECH_OUT_HZ, CodecConfig
from vita15.engine.codec_windows import CodecWindows, Window
from vita15.engine.speech_engine import Clause, CodesEvent, SpeechEngine
from vita_evaluation.offline import EngineRefused
from vita_evaluation.quality.hearing import word_errors
from vita_evaluation.quality.intervals import Interval, rate, share
from vita_evaluation.quality.material import Material
from vita_evaluation.quality.table import BY_KEY, Finding

CLAUSES = 400  # 381 without a fault are needed to show 99 % at 95 % (Wilson)
TIMED_CLAUSES = 30
AT_ONCE = 128  # clauses given to the engine; it takes no more than 256


@dataclass(frozen=True, slots=True)
class Utterance:
    """A clause as it is served."""

    sound: Sound  # (S,) in [-1, 1] at 24 kHz
    is_ended: bool  # by itself, not by the limit of codes

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.sound) / SPEECH_OUT_HZ


class Speaker:
    """The speech decoder and the codec, as they are served."""

    def __init__(self, checkpoint: Path) -> None:
        """Load them."""
        config = load_manifest(checkpoint / "codec_decoder").component_config()
        assert isinstance(config, CodecConfig)
        self._context = config.context_codes
        self._engine = SpeechEngine.load(checkpoint / "speech_decoder")
        self._windows = CodecWindows.load(checkpoint / "codec_decoder")

    def speak(self, clauses: Sequence[str]) -> list[Utterance]:
        """Speak clauses, many together; the chance of each depends on its place in the list alone.

        Raises:
            EngineRefused: a clause cannot be spoken.
        """
        spoken: list[Utterance] = []
        for first in range(0, len(clauses), AT_ONCE):
            heard: list[list[CodesEvent]] = [[] for _ in clauses[first : first + AT_ONCE]]
            given = [Clause(clauses[first + i], first + i, events.append) for i, events in enumerate(heard)]
            for clause in given:
                self._engine.speak(clause)
            self._engine.run_until_idle()
            spoken += [self._sound(clause, events) for clause, events in zip(given, heard, strict=True)]
        return spoken

    def _sound(self, clause: Clause, events: Sequence[CodesEvent]) -> Utterance:
        if events[-1].error:
            raise EngineRefused(events[-1].error)
        windows = Windows(self._context, is_first_clause=True)
        wanted = [window for e in events for window in windows.feed(e.codes, is_last=e.is_last)]
        given = [Window(np.array(window.codes, np.int32), window.keep_from, window.keep_count) for window in wanted]
        pieces = [np.zeros(0, np.int16)]
        for piece in self._windows.decode(given):
            if not isinstance(piece, np.ndarray):
                raise EngineRefused(str(piece))
            pieces.append(piece)
        sound = np.concatenate(pieces).astype(np.float32) / 32768
        return Utterance(sound, is_ended=clause.step < clause.max_codes)


def speaking(material: Material) -> Iterator[Finding]:
    """Listen to clauses that were kept aside."""
    clauses = speak_all(material.voice, material.new_clauses(material.count(CLAUSES)))
    spoken = Speaker(material.checkpoint).speak([clause.text for clause in clauses])
    takes = [Take(clause, ours.sound, ours.is_ended) for clause, ours in zip(clauses, spoken, strict=True)]
    listener, count = material.listener, len(takes)
    theirs = [word_errors(clause.text, listener.hear(clause.samples)) for clause in clauses]
    heard = [understood(listener, take.sound) for take in takes]
    ours = [word_errors(take.clause.text, text) for take, text in zip(takes, heard, strict=True)]
    sizes = [len(words(clause.text)) for clause in clauses]
    original, is_valid = own_errors("speaking.original", theirs, sizes)
    yield original
    worse = [one - other for one, other in zip(ours, theirs, strict=True)]
    note = f"our voice: {rate(ours, sizes).value * 100:.1f} %; clauses that training never said, each once"
    yield Finding("speaking.words", rate(worse, sizes), count, note, is_valid)
    exact = sum(errors == 0 for errors in ours)
    yield Finding("speaking.exact", share(exact, count), count, is_valid=is_valid)
    yield Finding("speaking.other", heard_as_another([c.text for c in clauses], heard), count)
    clean = sum(take.is_clean(text.split()) for take, text in zip(takes, heard, strict=True))
    yield Finding("speaking.ends", share(clean, count), count, is_valid=is_valid)


def speed(material: Material) -> Iterator[Finding]:
    """Time the voice, clause after clause, on one core."""
    clauses = material.clauses.held_out[: material.count(TIMED_CLAUSES)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        speaker = Speaker(material.checkpoint)
        spent: list[float] = []
        lengths: list[float] = []
        for clause in clauses:
            began = time.perf_counter()
            (said,) = speaker.speak([clause])
            spent.append(time.perf_counter() - began)
            lengths.append(said.seconds)
    finally:
        torch.set_num_threads(threads)
    note = "codes and sound of one clause after another, nothing batched; of a machine that does nothing else"
    yield Finding("speed.factor", rate(spent, lengths), len(clauses), note)


def own_errors(key: str, errors: Sequence[int], sizes: Sequence[int]) -> tuple[Finding, bool]:
    """What the recogniser itself gets wrong, and whether it is good enough to judge by."""
    found = Finding(key, rate(errors, sizes), len(errors))
    assert found.value is not None
    return found, BY_KEY[key].is_met(found.value.value)


def heard_as_another(texts: Sequence[str], heard: Sequence[str]) -> Interval:
    """How often the sound of the next other text is heard as this one."""
    pairs = zip(texts, [*texts[1:], texts[0]], [*heard[1:], heard[0]], strict=True)
    told_apart = [(text, sound) for text, other, sound in pairs if words(text) != words(other)]
    if not told_apart:
        return Interval(math.nan)
    return share(sum(words(text) == sound.split() for text, sound in told_apart), len(told_apart))


def understood(listener: Listener, sound: Sound) -> str:
    """What is heard in a sound; nothing in one that is too short to hold a word."""
    return listener.hear(sound) if len(sound) >= SPEECH_OUT_HZ // 10 else ""
