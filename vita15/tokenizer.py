"""Text to tokens and back: byte-level BPE from a `tokenizer.json`, the same format for tiny and full.

Every token stands for some bytes, so that text comes back through one UTF-8 decoder: a Chinese character or an emoji
that is spread over several tokens appears when its last byte does, and never in pieces. ☞ ☟ ☜, the model's judgement of
a query (docs/model.md, 3.3), are one token each; they and the other special tokens stand for no text. So do the marks
around a tool's call, where the vocabulary has them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product
from pathlib import Path
from string import ascii_lowercase

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from vita15.errors import CheckpointError
from vita15.tool_format import CALL_MARKS

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"
STATE_SPEECH = "☞"  # a spoken query meant for the assistant
STATE_NOISE = "☟"  # noise, or speech to someone else
STATE_TEXT = "☜"  # a typed query
SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END, STATE_SPEECH, STATE_NOISE, STATE_TEXT)


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids of the special tokens in one vocabulary."""

    end_of_text: int
    im_start: int
    im_end: int
    speech: int
    noise: int
    text: int


class Tokenizer:
    """A vocabulary. Safe to share between threads: nothing in it changes."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        """Wrap the library's tokenizer.

        Raises:
            CheckpointError: a special token is not one token of the vocabulary.
        """
        # From here on special tokens in plain text are characters like any other: users cannot write turn markers.
        inner.encode_special_tokens = True
        self._inner = inner
        self.special = SpecialIds(*(self._single_id(token) for token in SPECIAL_TOKENS))
        self._special_by_text = {token: self._single_id(token) for token in SPECIAL_TOKENS}
        self._call_by_text = _call_marks(inner)
        self._special_by_text |= self._call_by_text
        self._bytes = self._token_bytes()

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Read a `tokenizer.json`."""
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except CheckpointError:
            raise
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path}: {error}") from error

    @property
    def vocab_size(self) -> int:
        """Highest id + 1; a model's tables may have more rows."""
        return len(self._bytes)

    @property
    def im_start(self) -> int:
        """Id of the token that opens a turn."""
        return self.special.im_start

    @property
    def im_end(self) -> int:
        """Id of the token that closes a turn, and with which an answer stops."""
        return self.special.im_end

    @property
    def end_of_text(self) -> int:
        """Id of the token that pads."""
        return self.special.end_of_text

    @property
    def state_ids(self) -> dict[str, int]:
        """Ids of the judgement tokens, by the names that the wire uses."""
        return {"speech": self.special.speech, "text": self.special.text, "noise": self.special.noise}

    @property
    def call_ids(self) -> tuple[int, int] | None:
        """Ids of the marks before and behind a tool's call; None: this vocabulary has none, and its model no tools."""
        start, end = (self._call_by_text.get(mark) for mark in CALL_MARKS)
        return None if start is None or end is None else (start, end)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Turn text into ids; special tokens in it are plain characters unless allowed."""
        return self._encode(text, self._special_by_text if allow_special else {})

    def encode_answer(self, text: str) -> list[int]:
        """Turn an assistant's words into ids; the marks of a tool's call (tool_format.py) are one token each."""
        return self._encode(text, self._call_by_text)

    def decode_answer(self, ids: Iterable[int]) -> str:
        """Turn an assistant's ids into words, the marks of a tool's call included; the inverse of `encode_answer`."""
        marks = {token: mark.encode() for mark, token in self._call_by_text.items()}
        return b"".join(marks.get(token, self.token_bytes(token)) for token in ids).decode("utf-8", errors="ignore")

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text; special tokens give nothing, and neither do bytes that are no character."""
        return b"".join(self.token_bytes(token) for token in ids).decode("utf-8", errors="ignore")

    def token_bytes(self, token: int) -> bytes:
        """Bytes that a token stands for: none for special tokens and for rows beyond the vocabulary."""
        return self._bytes[token] if 0 <= token < len(self._bytes) else b""

    def _encode(self, text: str, special: Mapping[str, int]) -> list[int]:
        if not special:
            return self._inner.encode(text, add_special_tokens=False).ids
        pieces = re.split("(" + "|".join(map(re.escape, special)) + ")", text)
        return list(chain.from_iterable([special[p]] if p in special else self._encode(p, {}) for p in pieces if p))

    def _single_id(self, token: str) -> int:
        added = self._inner.token_to_id(token)
        if added is not None:
            return added
        # Qwen's own vocabulary holds the three state marks as ordinary merges.
        ids = self._inner.encode(token, add_special_tokens=False).ids
        if len(ids) != 1:
            raise CheckpointError(f"tokenizer: {token!r} is not one token")
        return ids[0]

    def _token_bytes(self) -> list[bytes]:
        byte_of = {character: value for value, character in enumerate(byte_alphabet())}
        vocabulary = self._inner.get_vocab(with_added_tokens=True)
        added = {token.content: token.special for token in self._inner.get_added_tokens_decoder().values()}
        table = [b""] * (max(vocabulary.values()) + 1)
        silent = set(self._special_by_text.values())
        for token, index in vocabulary.items():
            if index in silent or added.get(token, False):
                continue
            is_byte_level = token not in added and all(character in byte_of for character in token)
            table[index] = bytes(byte_of[c] for c in token) if is_byte_level else token.encode()
        return table


class Detokenizer:
    """Tokens of one answer to text, as they come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")

    def push(self, token: int) -> str:
        """Return the characters that this token completes; perhaps none."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    @property
    def is_clean(self) -> bool:
        """Whether no character is half said."""
        return not self._decoder.getstate()[0]


def byte_alphabet() -> list[str]:
    """Return the printable character by which byte-level BPE writes each byte, in order of the bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def train_tokenizer(texts: Iterable[str], vocab: int) -> tokenizers.Tokenizer:
    """Train a byte-level BPE of exactly `vocab` tokens, special tokens first; save it with `.save(path)`."""
    inner = _untrained(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[*SPECIAL_TOKENS, *CALL_MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    _pad_vocabulary(inner, vocab)
    return inner


def byte_level_tokenizer(vocab: int, special: Sequence[str] = SPECIAL_TOKENS) -> tokenizers.Tokenizer:
    """Build a tokenizer without training: special tokens, bytes, letter pairs, and unused tokens up to `vocab`.

    The pairs make a random model say letters rather than nothing.
    """
    alphabet = byte_alphabet()
    merges = list(islice(_letter_merges(), max(0, vocab - len(alphabet) - len(special))))
    tokens = [*special, *alphabet, *(left + right for left, right in merges)]
    inner = _untrained(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    inner.add_special_tokens(list(special))
    _pad_vocabulary(inner, vocab)
    return inner


def _call_marks(inner: tokenizers.Tokenizer) -> dict[str, int]:
    """Return the ids of the marks of a call, made special; empty: the vocabulary lacks them.

    Qwen's own are not special, and so would be found in what users type.
    """
    ids = {mark: index for mark in CALL_MARKS if (index := inner.token_to_id(mark)) is not None}
    if len(ids) < len(CALL_MARKS):
        return {}
    inner.add_special_tokens(list(CALL_MARKS))
    return ids


def _letter_merges() -> Iterator[tuple[str, str]]:
    yield from product(ascii_lowercase, ascii_lowercase)
    yield from product("Ġ", ascii_lowercase)  # Ġ is the byte alphabet's space


def _untrained(model: models.BPE) -> tokenizers.Tokenizer:
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    inner.decoder = decoders.ByteLevel()
    return inner


def _pad_vocabulary(inner: tokenizers.Tokenizer, vocab: int) -> None:
    missing = vocab - inner.get_vocab_size(with_added_tokens=True)
    inner.add_special_tokens([f"<|unused_{i}|>" for i in range(missing)])
