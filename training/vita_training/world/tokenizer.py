"""The tiny model's vocabulary: byte-level BPE over all that is said, asked and typed in the small world.

`python -m vita_training.world.tokenizer` writes it, as small as may be: every word, in each case and with or without a
space before it as it occurs, is one token; anything else falls back to bytes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import tokenizers
from tokenizers import pre_tokenizers

from vita15.tokenizer import train_tokenizer
from vita15.tool_format import ToolCall, call_text, response_text, system_text
from vita_training.world.patterns import SLOTS
from vita_training.world.phrasing import Kind, wordings
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.topics.every import KINDS, answers
from vita_training.world.topics.tools import ROOMS, STATES, TOOLS
from vita_training.world.typing import digits, typed_forms

DEFAULT_PATH = Path("checkpoints/tiny/llm/tokenizer.json")
STEP = 256  # the vocabulary's size is a multiple: tables of even rows
LARGEST_VOCAB = 4096
FILLINGS = 4  # of each wording's slots


def training_text() -> list[str]:
    """All that the tokenizer is trained on, in a fixed order."""
    rng = random.Random(0)
    asked = chain.from_iterable(_asked(kind, rng) for kind in KINDS)
    typed = (form for question in asked for form in (*typed_forms(question), digits(question)))
    roles = ("system\n", "user\n", "assistant\n")
    return list(dict.fromkeys([SYSTEM_PROMPT, *roles, *answers(), *_tool_text(), *typed]))


def smallest_vocab(texts: list[str]) -> int:
    """Find the least multiple of STEP with which every word of the texts is one token.

    Raises:
        ValueError: not even LARGEST_VOCAB is enough.
    """
    words = {word for text in texts for word in _words(text)}
    for vocab in range(STEP * 4, LARGEST_VOCAB + 1, STEP):
        made = train_tokenizer(texts, vocab)
        if all(len(made.encode(word, add_special_tokens=False).ids) == 1 for word in words):
            return vocab
    raise ValueError(f"{len(words)} words do not fit a vocabulary of {LARGEST_VOCAB}")


def make_tokenizer(vocab: int | None = None) -> tokenizers.Tokenizer:
    """Train the tokenizer; the same texts always give the same one."""
    texts = training_text()
    return train_tokenizer(texts, vocab or smallest_vocab(texts))


def _asked(kind: Kind, rng: random.Random) -> Iterator[str]:
    """Every wording of a kind with some fillings, and every value of each slot at least once."""
    known = wordings(kind)
    every = (*known.bare, *known.framed, *known.held_out)
    for wording in every:
        for _ in range(FILLINGS if "{" in wording else 1):
            yield wording.format(**{slot: rng.choice(values) for slot, values in SLOTS.items()})
    for slot in (slot for slot in SLOTS if f"{{{slot}}}" in every[0]):
        for value in SLOTS[slot]:
            yield every[0].format(**{other: values[0] for other, values in SLOTS.items()} | {slot: value})


def _tool_text() -> Iterator[str]:
    yield system_text(SYSTEM_PROMPT, TOOLS)
    calls = [ToolCall.of("set_light", {"room": room, "state": state}) for room in ROOMS for state in STATES]
    for call in (ToolCall.of("get_time", {}), *calls):
        yield call_text(call)
    results: list[dict[str, str]] = [{"room": room, "state": state} for room in ROOMS for state in STATES]
    results += [{"error": "no clock"}, {"error": "no such light"}]
    for hour in range(24):
        for minute in range(60):
            yield f"It is {hour:02d}:{minute:02d}."
            results.append({"time": f"{hour:02d}:{minute:02d}"})
    yield from (response_text(json.dumps(result)) for result in results)


def _words(text: str) -> list[str]:
    """The words and numbers of a text, each with the space before it, as byte-level BPE cuts them."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in pieces if text[start:end].strip().isalnum()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".vita/training/tokenizer.json"))
    path: Path = parser.parse_args().out
    path.parent.mkdir(parents=True, exist_ok=True)
    made = make_tokenizer()
    made.save(str(path))
    print(f"{path}: {made.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
