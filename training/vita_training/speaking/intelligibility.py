"""Whether the words can be understood: pocketsphinx with a bigram model of all that may be said.

The language model is a strong prior and flatters unclear speech; read its word error rate beside that of the original
recordings. A grammar (JSGF) or a model without bigrams proved unusable (see training/LOG.md).
"""

from __future__ import annotations

import math
import re
import tempfile
from collections import Counter
from pathlib import Path

import jiwer
import numpy as np
import numpy.typing as npt
import pocketsphinx
import soxr

from vita15.config import SPEECH_OUT_HZ
from vita_training.speaking.clauses import words

RECOGNISER_HZ = 16_000
LEVEL = 0.6  # of full scale: the recogniser's level that suits it
PAD_S = 0.2
# Digital silence upsets the recogniser, in short clauses above all. Word errors on 90 learnt answers in espeak's own
# voice: 1.3 % at 1e-3, 0.5 % from 2e-3 to 3e-3, 0.8 % at 5e-3, 4.9 % at 1e-2.
NOISE = 3e-3
BACKOFF = 0.01
PRONUNCIATIONS = {"vita": "V IY T AH"}  # what the dictionary lacks


class Listener:
    """Recognises speech of a closed set of sentences."""

    def __init__(self, texts: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model, dictionary = Path(folder) / "closed.arpa", Path(folder) / "words.dict"
            sentences = [words(text) for text in texts]
            model.write_text(bigram_model(sentences))
            dictionary.write_text(_dictionary({word for sentence in sentences for word in sentence}))
            self._decoder = pocketsphinx.Decoder(
                samprate=RECOGNISER_HZ, loglevel="FATAL", lm=str(model), dict=str(dictionary), lw=6.5
            )

    def hear(self, sound: npt.NDArray[np.float32]) -> str:
        """Recognise (S,) at 24 kHz; returns lower-case words."""
        slow = soxr.resample(sound, SPEECH_OUT_HZ, RECOGNISER_HZ)
        padded = np.pad(slow * (LEVEL / max(1e-4, float(np.abs(slow).max()))), int(PAD_S * RECOGNISER_HZ))
        padded = padded + np.random.default_rng(0).normal(0, NOISE, len(padded))
        self._decoder.start_utt()
        self._decoder.process_raw((padded * 32767).clip(-32767, 32767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return re.sub(r"\(\d\)", "", heard.hypstr) if heard else ""


def word_error_rate(said: list[str], heard: list[str]) -> float:
    """Word errors a word said."""
    return float(jiwer.wer([" ".join(words(text)) for text in said], [text or "-" for text in heard]))


def bigram_model(sentences: list[list[str]]) -> str:
    """Count bigrams into the text of an ARPA language model."""
    pairs: Counter[tuple[str, str]] = Counter()
    for sentence in sentences:
        pairs.update(zip(("<s>", *sentence), (*sentence, "</s>"), strict=True))
    before: Counter[str] = Counter()
    for (first, _), count in pairs.items():
        before[first] += count
    vocabulary = sorted({word for sentence in sentences for word in sentence})
    uniform, backoff = math.log10(1 / (len(vocabulary) + 1)), math.log10(BACKOFF)
    lines = ["\\data\\", f"ngram 1={len(vocabulary) + 2}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines.append(f"-99 <s> {backoff:.4f}")
    lines += [f"{uniform:.4f} {word} {backoff:.4f}" for word in (*vocabulary, "</s>")]
    lines += ["", "\\2-grams:"]
    lines += [
        f"{math.log10((1 - BACKOFF) * n / before[first]):.4f} {first} {second}"
        for (first, second), n in sorted(pairs.items())
    ]
    return "\n".join([*lines, "", "\\end\\", ""])


def _dictionary(vocabulary: set[str]) -> str:
    known = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text().splitlines()
    lines = [line for line in known if re.sub(r"\(\d\)", "", line.split()[0]) in vocabulary]
    lines += [f"{word} {sounds}" for word, sounds in PRONUNCIATIONS.items() if word in vocabulary]
    found = {re.sub(r"\(\d\)", "", line.split()[0]) for line in lines}
    if found != vocabulary:
        raise ValueError(f"no pronunciation of {sorted(vocabulary - found)}")
    return "\n".join(lines) + "\n"
