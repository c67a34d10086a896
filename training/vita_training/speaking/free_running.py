"""How the speech decoder does on its own: its codes made from its codes, as when it is served, and listened to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vita15.codec import CodecDecoder
from vita15.config import SAMPLES_PER_CODE, SPEECH_OUT_HZ
from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer
from vita_training.speaking.clauses import words
from vita_training.speaking.corpus import Sound
from vita_training.speaking.intelligibility import Listener, word_error_rate
from vita_training.speaking.voice import SpokenClause

CLEAN_LENGTHS = (0.75, 1.33)  # to the original's: a longer clause ran away, a shorter one was broken off


@dataclass(frozen=True, slots=True)
class Take:
    """One clause, spoken."""

    clause: SpokenClause  # as the original voice says it
    sound: Sound
    is_ended: bool  # speech end came before the limit

    @property
    def length_ratio(self) -> float:
        """Its length to the original's."""
        return len(self.sound) / len(self.clause.samples)

    def is_clean(self, heard: Sequence[str]) -> bool:
        """Whether it ended by itself, at about the original's length, and its last word was among what was heard."""
        shortest, longest = CLEAN_LENGTHS
        last = words(self.clause.text)[-1:]
        return self.is_ended and shortest <= self.length_ratio <= longest and list(heard[-1:]) == last


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was heard of some takes."""

    word_error_rate: float
    exact_share: float  # of the clauses, heard without an error
    clean_share: float  # of the clauses: ended by themselves, at about the original's length, the last word heard
    length_ratio: float  # to the original, mean
    length_spread: float  # and standard deviation
    real_time_factor: float  # seconds to make a second of speech, on one thread, without the engine's batching


def speak(
    decoder: SpeechDecoder, codec: CodecDecoder, tokenizer: Tokenizer, clauses: Sequence[SpokenClause], seed: int
) -> tuple[list[Take], float]:
    """Speak clauses as they are served, sampled among the likeliest codes.

    Returns:
        The takes, and seconds of work a second of speech.
    """
    noise = torch.Generator().manual_seed(seed)
    takes: list[Take] = []
    began = time.monotonic()
    for clause in clauses:
        codes, is_ended = decoder.generate(torch.tensor(tokenizer.encode(clause.text)), noise)
        with torch.no_grad():
            sound = codec(torch.tensor([codes or [0]]))[0].numpy()
        takes.append(Take(clause, sound, is_ended))
    spoken_s = sum(len(take.sound) for take in takes) / SPEECH_OUT_HZ
    return takes, (time.monotonic() - began) / spoken_s


def longest_codes(clauses: Sequence[SpokenClause]) -> int:
    """A limit that no clean take reaches, so that a trial need not wait for runaways."""
    return int(2 * max(len(clause.samples) for clause in clauses) / SAMPLES_PER_CODE)


def judge(takes: Sequence[Take], real_time_factor: float, listener: Listener) -> Verdict:
    """Listen to takes."""
    said = [words(take.clause.text) for take in takes]
    heard = [listener.hear(take.sound).split() for take in takes]
    ratios = [take.length_ratio for take in takes]
    clean = [take.is_clean(theirs) for take, theirs in zip(takes, heard, strict=True)]
    return Verdict(
        word_error_rate=word_error_rate([" ".join(ours) for ours in said], [" ".join(theirs) for theirs in heard]),
        exact_share=float(np.mean([ours == theirs for ours, theirs in zip(said, heard, strict=True)])),
        clean_share=float(np.mean(clean)),
        length_ratio=float(np.mean(ratios)),
        length_spread=float(np.std(ratios)),
        real_time_factor=real_time_factor,
    )


def misheard(takes: Sequence[Take], listener: Listener) -> dict[str, str]:
    """What was said, and what was heard instead."""
    heard = {take.clause.text: listener.hear(take.sound) for take in takes}
    return {said: other for said, other in heard.items() if " ".join(words(said)) != other}
